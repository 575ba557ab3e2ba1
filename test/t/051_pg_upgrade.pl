# pg_dump and pg_upgrade, which copies or links, take models along to a newer server: the
# same scores to the bit, the same recommendations, the same privileges; they are trained
# again and dropped.
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
$old->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE SCHEMA "Other";
CREATE ROLE reader;
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
});

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
my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump.sql";
command_ok([ 'pg_dump', '-d', $old->connstr('postgres'), '-f', $dump ], 'the newer pg_dump');
$old->stop;

foreach my $mode (qw(--dump --copy --link))
{
	my $new = PostgreSQL::Test::Cluster->new("new$mode" =~ s/--/_/r);
	$new->init(extra => $checksums);
	chdir $PostgreSQL::Test::Utils::tmp_check or die "chdir: $!";
	if ($mode eq '--dump')
	{
		$new->start;
		$new->safe_psql('postgres', 'CREATE ROLE reader');
		command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $new->connstr('postgres'), '-f', $dump ], 'restored');
	}
	else
	{
		command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $old[0], '-B', $bindir,
				'-s', $new->host, '-p', $old->port, '-P', $new->port, $mode ], "pg_upgrade $mode");
		$new->start;
	}
	is($new->safe_psql('postgres', $answers), $before, "$mode: the same answers, to the bit");
	fails_with($new, q{SET ROLE reader; SELECT als_recommend('explicit', 3)}, qr/42501: permission denied/, "$mode: no other privileges");
	my $of_kept = q{SELECT sum(als_predict('kept', n, n % 40, run => 1)) FROM generate_series(1, 60) n};
	is($new->safe_psql('postgres', qq{SELECT als_deploy('kept', 1) IS NULL; } . $of_kept =~ s/, run => 1//r), "f\n" . $new->safe_psql('postgres', $of_kept), "$mode: a kept run is deployed");
	is($new->safe_psql('postgres', q{
SELECT run FROM als_train('implicit', 'ratings', factors => 6);
SELECT run FROM als_train('kept', 'ratings', factors => 5);
SELECT run FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 6);
SELECT run FROM als_train('renamed', 'ratings', factors => 6);
SELECT run FROM als_train('"Other".as_uuid', 'others', feedback => 'explicit', factors => 6);
SELECT als_refresh_user('as_text', 'u1'::text);
}), "2\n3\n2\n2\n2\nt", "$mode: they are trained again, and refreshed");
	# pg_dump does not say what belongs to a model; its next training does
	is($new->safe_psql('postgres', q{
DROP TABLE implicit, explicit, "Other".as_uuid, renamed, kept;
DROP TABLE as_text, as_text_users, as_text_items;
SELECT relname FROM pg_class WHERE relname ~ 'implicit|explicit|as_text|as_uuid|renamed|before|kept';
}), '', "$mode: and dropped, with their tables");
	$new->stop;
}

done_testing();
