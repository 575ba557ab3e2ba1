# Sessions that stay connected, for tests in which one waits for another.
package AlsTest;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;

our @EXPORT = qw(open_session begin_query end_query ask close_sessions);

# A session with a node's database postgres, in which the statements given have
# been run.
sub open_session
{
	my ($node, @statements) = @_;
	my $s = { in => '', out => '', err => '' };
	$s->{run} = IPC::Run::start(
		[ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres') ],
		'<', \$s->{in}, '>', \$s->{out}, '2>', \$s->{err}, IPC::Run::timeout(600));
	ask($s, $_) foreach @statements;
	return $s;
}

# Sends a query, without waiting for its end.
sub begin_query
{
	my ($s, $query) = @_;
	$s->{out} = '';
	$s->{err} = '';
	$s->{in} .= "$query\n\\echo done\n";
	$s->{run}->pump_nb;
	return;
}

# Waits for its end; returns what it has printed, and then its errors.
sub end_query
{
	my ($s) = @_;
	$s->{run}->pump until $s->{out} =~ /done\n/ || !$s->{run}->pumpable;
	(my $out = $s->{out}) =~ s/done\n//;
	$out .= $s->{err};
	chomp $out;
	return $out;
}

sub ask
{
	begin_query(@_);
	return end_query($_[0]);
}

# Ends sessions.
sub close_sessions
{
	foreach my $s (@_)
	{
		$s->{in} .= "\\q\n";
		$s->{run}->finish;
	}
	return;
}

1;
