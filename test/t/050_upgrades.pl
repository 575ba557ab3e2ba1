# An extension that has been updated from an older version is what the newer
# version creates: the same objects with the same definitions, comments, costs and
# privileges.  That is so for each upgrade script that there is; and that a
# difference is found, is shown by versions that this test makes up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use File::Basename;
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A copy of the installation to which extension scripts can be added: PostgreSQL
# finds its files by where its program lies.
my $root = PostgreSQL::Test::Utils::tempdir;
my %path = map { $_ => `pg_config --$_` =~ s/\n//r } qw(bindir sharedir pkglibdir);
my $extensions = "$root$path{sharedir}/extension";
make_path(map { $root . dirname($_) } values %path);
make_path($extensions);
system_or_bail('cp', '-a', $path{bindir}, $root . dirname($path{bindir}));
symlink $path{pkglibdir}, "$root$path{pkglibdir}" or die "symlink: $!";
symlink $_, "$root$path{sharedir}/" . basename($_) foreach grep { !m{/extension$} } glob("$path{sharedir}/*");
symlink $_, "$extensions/" . basename($_) foreach glob("$path{sharedir}/extension/*");

# What belongs to the extension, with the privileges that pg_dump takes for given
my $listing = q{
SELECT i.type, i.identity, (SELECT string_agg(format('%s: %s', objsubid, initprivs), ', ' ORDER BY objsubid)
                            FROM pg_init_privs p WHERE p.classoid = d.classid AND p.objoid = d.objid)
FROM pg_depend d CROSS JOIN pg_identify_object(d.classid, d.objid, 0) i
WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als')
ORDER BY 1, 2};
# Then nothing does any more: pg_dump has all of it.
my $release = q{
DELETE FROM pg_init_privs WHERE privtype = 'e';
DELETE FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als')};

# Creates the extension in a database of its own; returns what belongs to it.
my $databases = 0;
my $node;

sub listing_of
{
	my ($version, $update) = @_;
	my $database = 'upgrade' . ++$databases;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, "CREATE EXTENSION als VERSION '$version'");
	$node->safe_psql($database, "ALTER EXTENSION als UPDATE TO '$update'") if $update;
	my $members = $node->safe_psql($database, $listing);
	$node->safe_psql($database, $release);
	my ($dump, $stderr) = run_command([ 'pg_dump', '--schema-only', '-d', $node->connstr($database) ]);
	die $stderr if $stderr ne '';
	# what differs each time, and the version
	$dump =~ s/^\\(?:un)?restrict .*$//mg;
	return "$members\n$dump";
}

# Is an update from one version to another what creating that is?
sub updates
{
	my ($old, $new) = @_;
	return listing_of($new) eq listing_of($old, $new);
}

# Makes up a version: what is added to the present one, and how it is updated to.
my ($present) = slurp_file('als.control') =~ /^default_version = '(.*)'/m;
my $script = slurp_file("sql/als--$present.sql");

sub make_up
{
	my ($version, $added, $upgrade) = @_;
	append_to_file("$extensions/als--$version.sql", $script . $added);
	append_to_file("$extensions/als--$present--$version.sql", $upgrade);
	return;
}

my $function = q{
CREATE FUNCTION als_added(k integer DEFAULT 10) RETURNS integer LANGUAGE sql IMMUTABLE COST 7 AS 'SELECT $1';
COMMENT ON FUNCTION als_added(integer) IS 'added';
REVOKE EXECUTE ON FUNCTION als_added(integer) FROM PUBLIC;
};
my $attribute = q{
ALTER TYPE als_model ADD ATTRIBUTE added integer CASCADE;
COMMENT ON COLUMN als_model.added IS 'added';
};
make_up('made_up', $function . $attribute, $function . $attribute);
make_up('other_cost', $function, $function =~ s/COST 7/COST 8/r);
make_up('no_comment', $function, $function =~ s/^COMMENT.*\n//mr);
make_up('other_grant', $function, $function =~ s/^REVOKE.*\n//mr);
make_up('no_attribute', $function . $attribute, $function);
make_up('no_column_comment', $attribute, $attribute =~ s/^COMMENT.*\n//mr);
make_up('other_default', $function, $function =~ s/DEFAULT 10/DEFAULT 11/r);

$node = PostgreSQL::Test::Cluster->new('main', install_path => $root . dirname($path{bindir}));
$node->init;
$node->start;

my $fresh = listing_of($present);
cmp_ok($fresh =~ tr/\n//, '>', 50, 'the extension has objects');
like($fresh, qr/^CREATE FUNCTION public\.als_train\(.*^COMMENT ON FUNCTION public\.als_train\(.*^GRANT SELECT ON TABLE public\.als_progress TO PUBLIC/ms, 'all of which are compared');
is(listing_of($present), $fresh, 'which are the same each time');

ok(updates($present, 'made_up'), 'an update that does all');
ok(!updates($present, $_), "an update with another result is found: $_")
  foreach qw(other_cost no_comment other_grant no_attribute no_column_comment other_default);

# the scripts that there are, each from its own version
foreach my $file (glob 'sql/als--*--*.sql')
{
	my ($old, $new) = $file =~ /als--(.*)--(.*)\.sql$/;
	ok(updates($old, $new), "from $old to $new");
}

# A model outlives the update: it serves the same, and is trained again.
$node->safe_psql('postgres', 'CREATE DATABASE served');
$node->safe_psql('served', q{
CREATE EXTENSION als;
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 30) u, generate_series(1, 40) i WHERE (u * 7 + i * 3) % 5 < 2;
SELECT run FROM als_train('model', 'ratings', factors => 4);
CREATE TABLE served AS SELECT * FROM als_recommend('model', 1, 10, false);
ALTER EXTENSION als UPDATE TO 'made_up';
});
is($node->safe_psql('served', q{SELECT count(*) FROM (TABLE served EXCEPT ALL SELECT * FROM als_recommend('model', 1, 10, false)) d}),
	0, 'a model from before the update serves the same');
is($node->safe_psql('served', q{SELECT run, added IS NULL FROM als_train('model', 'ratings', factors => 4)}), '2|t', 'and is trained again');
is($node->safe_psql('served', q{SELECT library, sql_objects FROM als_version()}), "$present|made_up", 'als_version tells the two apart');

$node->stop;
done_testing();
