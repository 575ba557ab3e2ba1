# What the packages say of als: one version everywhere, files that exist, and for
# PGXN what its validator asks of META.json.  And scripts of versions that have been
# released are as they were then.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Digest::SHA;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my ($version) = slurp_file('als.control') =~ /^default_version = '(.*)'/m;
my $release = "$version.0";
my $meta = decode_json(slurp_file('META.json'));

# https://pgxn.org/spec: what is required, and of which kind
my $semantic = qr/^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/;
ok(defined $meta->{$_}, "META.json has $_") foreach qw(name version abstract maintainer license provides), 'meta-spec';
like($meta->{name}, qr{^[^\s/\\\x00-\x1f]{2,}$}, 'a name');
like($meta->{$_}, qr/\S/, "$_ is not empty") foreach qw(abstract description);
like($meta->{maintainer}, qr/^[^<]+ <[^@\s]+@[^@\s]+>$/, 'somebody to write to');
is($meta->{license}, 'postgresql', 'a license that PGXN knows');
is($meta->{'meta-spec'}{version}, '1.0.0', 'the version of the specification');
like($meta->{'meta-spec'}{url}, qr{^https?://pgxn\.org/meta/spec\.txt$}, 'and where it is');
is_deeply([ keys %{ $meta->{provides} } ], ['als'], 'it provides the extension');
like($_, $semantic, "a semantic version: $_") foreach $meta->{version}, $meta->{provides}{als}{version}, values %{ $meta->{prereqs}{runtime}{requires} };
ok(-f $meta->{provides}{als}{$_}, "$meta->{provides}{als}{$_} is there") foreach qw(file docfile);
is(scalar(grep { !/^[^\\\/\x00-\x1f]{1,256}$/ } @{ $meta->{tags} }), 0, 'tags');

# one version
is($meta->{version}, $release, 'the version of META.json');
is($meta->{provides}{als}{version}, $release, 'and of what it provides');
is($meta->{provides}{als}{file}, 'sql/als--1.0.sql', 'by the script that updates begin with');
my ($date) = slurp_file('CHANGELOG.md') =~ /^## \Q$version\E \((\d{4}-\d\d-\d\d|unreleased)\)$/m;
ok($date, 'CHANGELOG.md');
my ($distribution, $status) = $date eq 'unreleased' ? qw(UNRELEASED unstable) : qw(unstable stable);
like((split /\n/, slurp_file('debian/changelog'))[0], qr/^postgresql-als \(\Q$version\E-\d+\) $distribution; /, "debian/changelog, to $distribution");
is($meta->{release_status}, $status, 'META.json says whether it is released');
like(slurp_file('packaging/als.spec'), qr/^Version: +\Q$release\E$/m, 'packaging/als.spec');

# SHA-256 of each script of a release
my %released = ('sql/als--1.0.sql' => '7d728352bea8fcf3f7249a93495ae3c884986b81c6b040078807b19d4fea263a');
foreach my $script (sort keys %released)
{
	is(Digest::SHA->new(256)->addfile($script)->hexdigest, $released{$script}, "$script is what has been released")
	  or diag("$script has been released and does not change any more: databases that have it would not be what it creates.  "
		  . "Write an update script instead, or add to that of the version to come; CONTRIBUTING.md says how.");
}

# A version can be updated to the next one, all the way, and created so from the first.
my %next = map { /als--(.*)--(.*)\.sql$/ ? ($1 => $2) : () } glob 'sql/als--*--*.sql';
my $reached = '1.0';
$reached = $next{$reached} while defined $next{$reached};
is($reached, $version, 'update scripts lead to the version of als.control');
is(join(' ', glob 'sql/als--*.sql'), join(' ', sort 'sql/als--1.0.sql', map { "sql/als--$_--$next{$_}.sql" } keys %next), 'there are no others');

done_testing();
