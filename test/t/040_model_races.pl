# What a session has looked at before it got a lock may have changed when it
# gets it: another session changes the model in every way meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE ROLE trainer;
CREATE SCHEMA AUTHORIZATION trainer;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 + (u * i) % 4 AS rating
    FROM generate_series(1, 30) u, generate_series(1, 40) i WHERE (u * 7 + i * 3) % 5 < 2;
GRANT SELECT ON ratings TO trainer;
});

sub session { return open_session($node, "\\set VERBOSITY sqlstate\nSELECT;"); }
# Waits until a session waits for a lock on a relation.
sub wait_for_lock
{
	$node->poll_query_until('postgres',
		q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'relation'}) or die 'timed out';
}

my ($changer, $other) = (session(), session());
my $train = q{SELECT run, users FROM als_train('m', 'public.ratings', factors => 3);};
my $kept = q{ALTER TABLE m_users RENAME TO old_users; ALTER TABLE m_items RENAME TO old_items;};

# what is done to the model while somebody waits for it, and what comes of that
my @cases = (
	[ 'another type', 'ALTER TABLE m NOT OF; ALTER TABLE m ALTER source TYPE bigint USING 4702111234474983745;',
		'42P07', '42809', '42809' ],
	[ 'dropped', 'DROP TABLE m;', '1|30', '42P01', '42P01' ],
	[ 'renamed', "ALTER TABLE m RENAME TO renamed; $kept", '1|30', undef, 't' ],
	[ 'in another schema', "ALTER TABLE m SET SCHEMA public;", '2|30', undef, 't' ],
	[ 'of another owner', 'ALTER TABLE m OWNER TO postgres;', '42501', '42501', '42501' ],
	[ 'trained anew', "DROP TABLE m; SET ROLE trainer; $train", '2|30', '42P01', '42P01' ],
	[ 'emptied', 'DELETE FROM m_users; LOCK TABLE m;', '2|30', 'null', 't' ]);
foreach my $case (@cases)
{
	my ($what, $change, $trained, $predicted, $refreshed) = @$case;
	my @statements = ([ 'als_train', $train, $trained ],
		[ 'als_predict', q{SELECT coalesce(als_predict('m', 1, 1)::text, 'null');}, $predicted ],
		[ 'als_refresh_user', q{SELECT als_refresh_user('m', 1);}, $refreshed ]);

	foreach my $statement (@statements)
	{
		my ($function, $query, $expected) = @$statement;

		$node->safe_psql('postgres', qq{
DROP TABLE IF EXISTS public.m, trainer.m, trainer.renamed CASCADE;
SET ROLE trainer;
SET search_path = trainer, public;
$train});
		ask($changer, "RESET ROLE; SET search_path = trainer, public; BEGIN; $change");
		ask($other, 'SET ROLE trainer; SET search_path = trainer, public;');
		begin_query($other, $query);
		wait_for_lock();
		ask($changer, 'COMMIT;');
		my $result = end_query($other);
		$result =~ s/^.*ERROR:  (\S+).*$/$1/s;
		if (defined $expected) { is($result, $expected, "$function of a model that is $what meanwhile"); }
		else { like($result, qr/^-?[0-9.]+$/, "$function of a model that is $what meanwhile"); }
	}
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_locks WHERE locktype = \'relation\' AND pid <> pg_backend_pid()'),
	'0', 'no lock is left');

# a temporary model is its session's own
ask($changer, q{RESET ROLE; CREATE TEMP TABLE unused (); SELECT run FROM als_train('pg_temp.t', 'public.ratings', factors => 3);});
my $oid = ask($changer, q{SELECT 't'::regclass::oid;});
like($oid, qr/^\d+$/, 'a temporary model');
is(ask($other, "RESET ROLE; SELECT als_predict($oid, 1, 1);"), 'ERROR:  0A000', 'another session cannot use it');
is(ask($other, "SELECT als_refresh_user($oid, 1);"), 'ERROR:  0A000', 'nor change it');
my $schema = ask($changer, q{SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = 't'::regclass;});
is(ask($other, "SELECT als_train('$schema.t', 'public.ratings');"), 'ERROR:  0A000', 'nor train it');

close_sessions($changer, $other);
$node->stop;
done_testing();
