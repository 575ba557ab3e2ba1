# What a session has looked at before it got a lock may have changed when it
# gets it: another session changes the model in every way meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my $node = start_server('main');
$node->safe_psql('postgres', q{
CREATE ROLE trainer;
CREATE SCHEMA AUTHORIZATION trainer;
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 40, 39);
GRANT SELECT ON ratings TO trainer;
});

my ($changer, $other) = map { open_session($node, '\set VERBOSITY sqlstate') } 1 .. 2;
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
		wait_for_lock($node, 'relation');
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

close_sessions();
$node->stop;
done_testing();
