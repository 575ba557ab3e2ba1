# Who may use a model is asked for every role, and its tables stay locked, also
# where a session has used it before in the same transaction.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my $node = start_server('main');
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 40, 39);
SELECT run FROM als_train('model', 'ratings', factors => 8, iterations => 2);
CREATE ROLE outsider;
CREATE ROLE readers;
CREATE ROLE member;
GRANT readers TO member;
GRANT SELECT ON model TO readers;
-- the same call site, as whoever calls
CREATE FUNCTION score() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN als_predict('model', 1, 1) IS NOT NULL;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN SQLERRM;
END $$;
CREATE FUNCTION plain_score() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN als_predict('model', 1, 1) IS NOT NULL;
END $$;
CREATE FUNCTION recommended() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT count(*) FROM als_recommend('model', 1, exclude_seen => false));
EXCEPTION WHEN insufficient_privilege THEN
    RETURN SQLERRM;
END $$;
CREATE FUNCTION protected_score() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN plain_score();
EXCEPTION WHEN feature_not_supported THEN
    RETURN 'row-level security';
END $$;
CREATE FUNCTION owners_score() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    RETURN plain_score();
END $$;
});

# The lines that psql prints for a script
sub lines_of
{
	my ($script) = @_;

	return $node->safe_psql('postgres', $script, extra_params => ['-q']);
}

my $denied = 'permission denied for table model';

is( lines_of(q{
SET ROLE outsider;
BEGIN;
SELECT owners_score();
SELECT score();
SELECT recommended();
SELECT owners_score();
COMMIT;
}),
	"true\n$denied\n$denied\ntrue",
	'what the owner may in a SECURITY DEFINER function, the caller may not');

is( $node->psql('postgres', q{
SET ROLE outsider;
BEGIN;
SELECT owners_score();
SELECT plain_score();
}),
	3, 'nor at the very call site that has answered the owner');

is( lines_of(q{
BEGIN;
SELECT score();
SET LOCAL ROLE outsider;
SELECT score();
RESET ROLE;
SELECT score();
COMMIT;
}),
	"true\n$denied\ntrue",
	'SET ROLE within a transaction');

foreach my $case (
	[ 'REVOKE SELECT ON model FROM readers', 'REVOKE within a transaction, and its ROLLBACK' ],
	[ 'REVOKE readers FROM member', 'a role that is no longer a member' ])
{
	my ($revoke, $name) = @$case;
	is( lines_of(qq{
BEGIN;
SET LOCAL ROLE member;
SELECT score(), recommended();
RESET ROLE;
$revoke;
SET LOCAL ROLE member;
SELECT score(), recommended();
RESET ROLE;
ROLLBACK;
SET ROLE member;
SELECT score();
}),
		"true|10\n$denied|$denied\ntrue", $name);
}

is( lines_of(q{
BEGIN;
SELECT score();
ALTER TABLE model ENABLE ROW LEVEL SECURITY;
ALTER TABLE model FORCE ROW LEVEL SECURITY;
SET LOCAL ROLE member;
SELECT protected_score();
SET LOCAL row_security = off;
SELECT protected_score();
ROLLBACK;
SELECT score();
}),
	"true\nrow-level security\nrow-level security\ntrue",
	'row-level security');

# A lock that goes with a savepoint is taken again.
my $reader = open_session($node, q{SELECT plain_score();}, q{BEGIN;}, q{SAVEPOINT s;});
is(ask($reader, q{SELECT plain_score();}), 'true', 'scored in a subtransaction');
ask($reader, q{ROLLBACK TO SAVEPOINT s;});
is( $node->safe_psql('postgres', q{
SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE c.relname LIKE 'model%' AND l.mode = 'AccessShareLock' AND l.pid <> pg_backend_pid()
}),
	0, 'whose locks have gone with it');
$node->safe_psql('postgres',
	q{SELECT run FROM als_train('model', 'ratings', factors => 12, iterations => 2)});
is(ask($reader, q{SELECT plain_score();}), 'true', 'a model that has changed since is read anew');
is( ask($reader, q{SELECT count(*) FROM pg_locks WHERE relation = 'model_items'::regclass AND mode = 'AccessShareLock';}),
	'1', 'and its tables are locked again');
ask($reader, q{COMMIT;});
is(close_sessions(), '', 'without an error');

done_testing();
