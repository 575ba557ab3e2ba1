# pg_dump and pg_upgrade, which copies or links, take models along to a newer server: the
# same scores to the bit, the same recommendations, the same privileges; they are trained
# again and dropped.  So do those of a database whose extension is still of version 1.0, which
# is updated on the newer server.
#
# The older server is that of ALS_OLD_BINDIR, or the oldest one that is installed
# beside this one and has als.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The major version of the server in a directory
sub major
{
	my ($directory) = @_;
	return `"$directory/pg_config" --version` =~ /(\d+)/ ? $1 : 0;
}

my $bindir = `pg_config --bindir` =~ s/\n//r;
my @old = $ENV{ALS_OLD_BINDIR} // sort { major($a) <=> major($b) }
  grep { -x "$_/initdb" && -e (`"$_/pg_config" --sharedir` =~ s/\n//r) . '/extension/als.control' && major($_) < major($bindir) }
  glob(dirname(dirname $bindir) . '/*/bin');
plan skip_all => 'no older server that has als beside this one' unless @old;

my $old = PostgreSQL::Test::Cluster->new('old', install_path => dirname $old[0]);
my $checksums = major($bindir) >= 18 ? ['--no-data-checksums'] : [];
$old->init(extra => major($old[0]) >= 18 ? $checksums : []);
$old->start;
my $models = q{
CREATE SCHEMA "Other";
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 + (u * 3 + i) % 5 AS rating
    FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 40;
CREATE VIEW texts AS SELECT 'u' || user_id AS user_id, 'i' || item_id AS item_id, rating FROM ratings;
CREATE VIEW others AS SELECT lpad(user_id::text, 32, '0')::uuid AS user_id, item_id::bigint, rating FROM ratings;
SELECT run FROM als_train('implicit', 'ratings', factors => 6);
SELECT run FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 6);
SELECT run FROM als_train('as_text', 'texts', factors => 6);
SELECT run FROM als_train('"Other".as_uuid', 'others', feedback => 'explicit', factors => 6);
SELECT run FROM als_train('before', 'ratings', factors => 6);
ALTER TABLE before RENAME TO renamed;
SELECT run FROM als_train('kept', 'ratings', factors => 6, keep => 2);
SELECT run FROM als_train('kept', 'ratings', factors => 4);
GRANT SELECT ON implicit TO reader;
COMMENT ON TABLE explicit IS 'explained';
};
$old->safe_psql('postgres', 'CREATE ROLE reader; CREATE DATABASE of_1_0');
$old->safe_psql('postgres', "CREATE EXTENSION als; $models");
$old->safe_psql('of_1_0', "CREATE EXTENSION als VERSION '1.0'; $models");

# What models answer, in digits that tell all floats apart
my $answers = q{
SELECT m.model, a.* FROM als_models m, LATERAL (
    SELECT u.user_id, r.* FROM (SELECT lpad(n::text, CASE WHEN m.name = 'as_uuid' THEN 32 ELSE 1 END, '0') AS number FROM generate_series(1, 9) n) n,
        LATERAL (SELECT CASE WHEN m.name = 'as_text' THEN 'u' || number ELSE number END AS user_id) u,
        LATERAL als_recommend_as(NULL::text, m.model, u.user_id, 10, false) r) a
ORDER BY m.model::text, a.user_id, a.score DESC, a.item_id;
SELECT n, als_predict('explicit', n, n % 40), als_predict('implicit', n, n % 40), als_predict('kept', n, n % 40, run => 1), als_predict('kept', n, n % 40, run => 2) FROM generate_series(1, 60) n ORDER BY n;
SELECT name, owner, description FROM als_models ORDER BY name;
SELECT (m).run, (m).loss, (m).losses FROM implicit m;
SET ROLE reader;
SELECT item_id FROM als_recommend('implicit', 3, 5, false);
};
my $before = $old->safe_psql('postgres', $answers);
cmp_ok($before =~ tr/\n//, '>', 6 * 9 * 10, 'models answer');
is($old->safe_psql('of_1_0', $answers), $before, 'those of 1.0 do the same');
my @databases = qw(postgres of_1_0);
my %dump = map { $_ => "$PostgreSQL::Test::Utils::tmp_check/$_.sql" } @databases;
command_ok([ 'pg_dump', '-d', $old->connstr($_), '-f', $dump{$_} ], "the newer pg_dump of $_") foreach @databases;
$old->stop;

foreach my $mode (qw(--dump --copy --link))
{
	my $new = PostgreSQL::Test::Cluster->new("new$mode" =~ s/--/_/r);
	$new->init(extra => $checksums);
	chdir $PostgreSQL::Test::Utils::tmp_check or die "chdir: $!";
	if ($mode eq '--dump')
	{
		$new->start;
		$new->safe_psql('postgres', 'CREATE ROLE reader; CREATE DATABASE of_1_0');
		command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $new->connstr($_), '-f', $dump{$_} ], "$_ restored") foreach @databases;
	}
	else
	{
		command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $old[0], '-B', $bindir,
				'-s', $new->host, '-p', $old->port, '-P', $new->port, $mode ], "pg_upgrade $mode");
		$new->start;
		is($new->safe_psql('of_1_0', $answers), $before, "$mode, of 1.0: the same answers, to the bit");
		is($new->safe_psql('of_1_0', q{SELECT extversion FROM pg_extension WHERE extname = 'als'; ALTER EXTENSION als UPDATE}), '1.0', "$mode, of 1.0: updated");
	}
	foreach my $database (@databases)
	{
		my $name = "$mode, $database";
		is($new->safe_psql($database, $answers), $before, "$name: the same answers, to the bit");
		is($new->safe_psql($database, 'SELECT library = sql_objects FROM als_version()'), 't', "$name: one version");
		fails_with($new, qq{\\connect $database\nSET ROLE reader; SELECT als_recommend('explicit', 3)}, qr/42501: permission denied/, "$name: no other privileges");
		my $of_kept = q{SELECT sum(als_predict('kept', n, n % 40, run => 1)) FROM generate_series(1, 60) n};
		is($new->safe_psql($database, qq{SELECT als_deploy('kept', 1) IS NULL; } . $of_kept =~ s/, run => 1//r), "f\n" . $new->safe_psql($database, $of_kept), "$name: a kept run is deployed");
		is($new->safe_psql($database, q{
SELECT run FROM als_train('implicit', 'ratings', factors => 6);
SELECT run FROM als_train('kept', 'ratings', factors => 5);
SELECT run FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 6);
SELECT run FROM als_train('renamed', 'ratings', factors => 6);
SELECT run FROM als_train('"Other".as_uuid', 'others', feedback => 'explicit', factors => 6);
SELECT als_refresh_user('as_text', 'u1'::text);
}), "2\n3\n2\n2\n2\nt", "$name: they are trained again, and refreshed");
		# pg_dump does not say what belongs to a model; its next training does
		is($new->safe_psql($database, q{
DROP TABLE implicit, explicit, "Other".as_uuid, renamed, kept;
DROP TABLE as_text, as_text_users, as_text_items;
SELECT relname FROM pg_class WHERE relname ~ 'implicit|explicit|as_text|as_uuid|renamed|before|kept';
}), '', "$name: and dropped, with their tables");
	}
	$new->stop;
}

done_testing();
