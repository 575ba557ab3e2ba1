# Whoever may create functions and operators in a schema of the search_path runs
# none of them by way of als as somebody else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

# Before the extension is there: what would fit better than what is in
# pg_catalog, and, for those who put pg_catalog last, as well.
my $attack = q{
CREATE ROLE attacker;
CREATE SCHEMA trap;
GRANT CREATE, USAGE ON SCHEMA public, trap TO attacker, PUBLIC;
SET ROLE attacker;
CREATE TABLE public.caught (who name DEFAULT current_user, what text);
GRANT ALL ON public.caught TO PUBLIC;
CREATE FUNCTION public.spring(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.caught(what) VALUES (what);
    RETURN true;
END $$;
DO $$
DECLARE
    types text[] := ARRAY['oid', 'regtype', 'regclass', 'name', 'text', 'integer', 'bigint', 'numeric', 'double precision', 'real'];
    l text;
    r text;
    o text;
    f text;
BEGIN
    FOREACH l IN ARRAY types LOOP
        FOREACH r IN ARRAY types LOOP
            f := format('op_%s_%s', translate(l, ' ', '_'), translate(r, ' ', '_'));
            EXECUTE format('CREATE FUNCTION trap.%I(%s, %s) RETURNS boolean LANGUAGE sql AS %L', f, l, r,
                           format('SELECT public.spring(%L)', f));
            FOREACH o IN ARRAY ARRAY['=', '<', '>', '+', '-', '*', '/', '||'] LOOP
                EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.%I)', o, l, r, f);
                IF to_regoperator(format('pg_catalog.%s(%s,%s)', o, l, r)) IS NULL THEN
                    EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.%I)', o, l, r, f);
                END IF;
            END LOOP;
            CONTINUE WHEN l = 'text' AND r = 'text';
            EXECUTE format('CREATE FUNCTION public.als_holdout(%s, %s, double precision, bigint) RETURNS boolean LANGUAGE sql AS $f$SELECT public.spring(''als_holdout'')$f$', l, r);
        END LOOP;
        EXECUTE format('CREATE FUNCTION trap.count(%s) RETURNS bigint LANGUAGE sql AS $f$SELECT public.spring(''count'')::int::bigint$f$', l);
    END LOOP;
END $$;
CREATE FUNCTION public.obj_description(oid, text) RETURNS text LANGUAGE sql AS $$SELECT public.spring('obj_description')::text$$;
CREATE FUNCTION trap.pg_get_userbyid(oid) RETURNS name LANGUAGE sql AS $$SELECT public.spring('pg_get_userbyid')::text::name$$;
CREATE FUNCTION public.round(double precision, text) RETURNS text LANGUAGE sql AS $$SELECT public.spring('round')::text$$;
CREATE DOMAIN trap.float8 AS text;
CREATE DOMAIN trap.regclass AS text;
RESET ROLE;
};
$node->safe_psql('postgres', $attack);
install_als($node);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 20, 39);
CREATE TABLE texts AS SELECT user_id::text, item_id::bigint, rating::numeric FROM ratings;
});

# All functions, on ids of several types
my @calls;
foreach my $source ('ratings', 'texts')
{
	my $user = $source eq 'texts' ? "'1'" : '1';
	push @calls,
	  "als_train('m_$source', 'public.$source', factors => 2, iterations => 2, validation_fraction => 0.2)",
	  "als_train('m_$source', 'public.$source', factors => 2, iterations => 2)",
	  "als_tune('t_$source', 'public.$source', '{\"factors\": [2, 3]}', validation_fraction => 0.2)",
	  "als_predict('m_$source', $user, 1)",
	  "als_recommend('m_$source', $user, exclude => ARRAY[1], candidates => ARRAY[1, 2, 3])",
	  "als_recommend('m_$source', '5000')",
	  "als_recommend('m_$source', '5000', cold_start => 'popular')",
	  "als_recommend_for('m_$source', ARRAY[1, 2])",
	  "als_recommend_all_as(NULL::text, NULL::bigint, 'm_$source', users => ARRAY[$user])",
	  "als_recommend_together('m_$source', ARRAY[$user])",
	  "als_audience_as(NULL::text, 'm_$source', 1, exclude => ARRAY[$user])",
	  "als_similar_items('m_$source', 1)",
	  "als_similar_users_as(NULL::text, 'm_$source', $user)",
	  "als_explain('m_$source', $user, 1)",
	  "als_fold_in('m_$source', ARRAY[1, 2])",
	  "als_evaluate('m_$source', 'public.$source')",
	  "als_evaluate_users_as(NULL::text, 'm_$source', 'public.$source')",
	  "als_refresh_user('m_$source', $user)",
	  "als_refresh_item('m_$source', 1)";
}
my $queries = join '', map { "SELECT $_;\n" } @calls;
foreach my $path ('public', '"$user", public, pg_catalog', 'trap, public, pg_catalog')
{
	# the calls themselves are to find als' functions, not traps for their names
	my ($status, $out, $error) = $node->psql('postgres', qq{
SET search_path = $path;
SET client_min_messages = error;
DROP TABLE IF EXISTS public.m_ratings, public.m_texts, public.t_ratings, public.t_texts;
SET search_path = $path;
@{[ $queries =~ s/'(m|t)_/'public.$1_/gr =~ s/SELECT als/SELECT public.als/gr ]}
SELECT * FROM public.als_models;
SELECT * FROM public.als_progress;
SELECT public.als_convergence(m) FROM public.m_ratings m;
SELECT public.als_train_agg('public.m_agg', user_id, item_id, rating, '{"factors": 2}') FROM public.ratings;
DROP TABLE public.m_agg;
});
	is($error, '', "everything works with search_path = $path");
	is($node->safe_psql('postgres', 'SELECT who, what, count(*) FROM caught GROUP BY 1, 2'),
		'', '... and runs nothing of others');
}

# What processes read together is als' aggregate, whoever has a better one
$node->safe_psql('postgres', q{
SET search_path = public, pg_catalog;
CREATE TABLE many AS SELECT i % 1000 AS user_id, i % 997 AS item_id, 1::real AS rating FROM generate_series(1, 50000) i;
ANALYZE many;
SET ROLE attacker;
CREATE FUNCTION public.als_collect(bigint, integer, integer, real) RETURNS void LANGUAGE plpgsql PARALLEL SAFE COST 100000
AS $$BEGIN RAISE EXCEPTION 'runs as %', current_user; END$$;
});
my $together = q{SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
	SELECT FROM public.als_train('public.m_many', 'public.many', factors => 2, iterations => 1, workers => 1)};
foreach my $trap ('bigint, integer, integer, real', 'bigint, anycompatible, anycompatible, anycompatible')
{
	my ($status, $out, $error) = $node->psql('postgres', $together);
	is($error, '', "trains beside als_collect($trap)");
	$node->safe_psql('postgres', qq{DROP FUNCTION public.als_collect($trap);
		CREATE FUNCTION public.als_collect(bigint, anycompatible, anycompatible, anycompatible) RETURNS void LANGUAGE sql AS ''});
}
$node->safe_psql('postgres', 'DROP FUNCTION public.als_collect(bigint, anycompatible, anycompatible, anycompatible); DROP TABLE public.m_many, public.many');

# A column that is gone is not a function of its name, and a type with operators
# of its own is compared by these.
$node->safe_psql('postgres', q{
DROP TABLE public.m_ratings, public.m_texts, public.t_ratings, public.t_texts;
CREATE TYPE public.shop;
CREATE FUNCTION public.shop_in(cstring) RETURNS public.shop LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION public.shop_out(public.shop) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE public.shop (INPUT = public.shop_in, OUTPUT = public.shop_out, LIKE = integer);
CREATE FUNCTION public.shop_equal(public.shop, public.shop) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4eq';
CREATE FUNCTION public.shop_hash(public.shop) RETURNS integer LANGUAGE internal IMMUTABLE STRICT AS 'hashint4';
CREATE FUNCTION public.shop_hash(public.shop, bigint) RETURNS bigint LANGUAGE internal IMMUTABLE STRICT AS 'hashint4extended';
CREATE OPERATOR public.= (LEFTARG = public.shop, RIGHTARG = public.shop, FUNCTION = public.shop_equal);
CREATE OPERATOR CLASS public.shop_ops DEFAULT FOR TYPE public.shop USING hash AS
    OPERATOR 1 public.= (public.shop, public.shop), FUNCTION 1 public.shop_hash(public.shop),
    FUNCTION 2 public.shop_hash(public.shop, bigint);
CREATE DOMAIN public.branch AS public.shop;
CREATE TABLE shops AS SELECT shop_in(user_id::text::cstring) AS user_id, item_id, rating FROM ratings;
CREATE TABLE branches AS SELECT user_id::public.branch AS user_id, item_id, rating FROM shops;
SELECT als_train('public.m_shops', 'public.shops', factors => 2);
SELECT als_train('public.m_branches', 'public.branches', factors => 2);
SELECT als_train('public.m_ratings', 'public.ratings', factors => 2);
ALTER TABLE ratings RENAME user_id TO who;
SET ROLE attacker;
DO $$
DECLARE
    l text;
    r text;
BEGIN
    FOREACH l IN ARRAY ARRAY['shop', 'branch'] LOOP
        FOREACH r IN ARRAY ARRAY['shop', 'branch'] LOOP
            CONTINUE WHEN l = 'shop' AND r = 'shop';
            EXECUTE format('CREATE FUNCTION trap.equal(public.%s, public.%s) RETURNS boolean LANGUAGE sql AS $f$SELECT public.spring(''equal'')$f$', l, r);
            EXECUTE format('CREATE OPERATOR public.= (LEFTARG = public.%s, RIGHTARG = public.%s, FUNCTION = trap.equal)', l, r);
        END LOOP;
    END LOOP;
END $$;
CREATE FUNCTION public.user_id(public.ratings) RETURNS integer LANGUAGE sql AS $$SELECT public.spring('user_id')::integer$$;
});
foreach my $model ('m_shops', 'm_branches', 'm_ratings')
{
	my $user = $model eq 'm_ratings' ? '1' : "'1'::public." . ($model eq 'm_shops' ? 'shop' : 'branch');
	my $unknown = $user =~ s/1/77/r;
	my $type = $user =~ /::(.*)/ ? $1 : 'integer';
	foreach my $call ("als_recommend('$model', $user)", "als_recommend('$model', $unknown)", "als_explain('$model', $user, 1)",
		"als_refresh_user('$model', $user)", "als_refresh_item('$model', 1)",
		"als_recommend_all_as(NULL::$type, NULL::integer, '$model', users => ARRAY[$user])",
		"als_evaluate('$model', 'SELECT ''1''::$type AS user_id, 1 AS item_id, 1 AS rating')")
	{
		my ($status, $out, $error) = $node->psql('postgres', "SELECT $call");
		if ($model eq 'm_ratings')
		{
			like($error, qr/column "user_id" does not exist.*model "m_ratings"/s, "$call misses the column");
		}
		else
		{
			is($error, '', "$call works");
		}
	}
}
is($node->safe_psql('postgres', 'SELECT who, what, count(*) FROM caught GROUP BY 1, 2'),
	'', 'nothing of others has run');

# The trigger of als_track, made by who has TRIGGER on a table, with ratings of his own
# and that table as the queue
$node->safe_psql('postgres', q{
SET search_path = pg_catalog;
CREATE TABLE public.victim (user_id integer, item_id integer);
GRANT ALL ON public.victim TO attacker;
CREATE TABLE public.readable (user_id integer, item_id integer);
GRANT TRIGGER ON public.readable TO attacker;
SET ROLE attacker;
CREATE TYPE public.evil AS (x integer);
CREATE FUNCTION public.run(public.evil) RETURNS integer LANGUAGE plpgsql AS $$BEGIN PERFORM public.spring('cast'); RETURN 1; END$$;
CREATE CAST (public.evil AS integer) WITH FUNCTION public.run(public.evil) AS ASSIGNMENT;
CREATE TABLE public.mine (user_id public.evil, item_id integer);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON public.mine FROM public.victim FOR EACH ROW EXECUTE FUNCTION public.als_note_change('user_id', 'item_id');
CREATE FUNCTION public.spring_trigger() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM public.spring('trigger'); RETURN NEW; END$$;
CREATE TABLE public.plain (user_id integer, item_id integer);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON public.plain FROM public.readable FOR EACH ROW EXECUTE FUNCTION public.als_note_change('user_id', 'item_id');
});
fails_with($node, 'SET ROLE attacker; INSERT INTO public.mine VALUES (ROW(1), 1)', qr/ERROR:  42804: column "user_id" of table "mine" is not of the type/, 'a cast is not run for the owner of a queue');
fails_with($node, 'SET ROLE attacker; INSERT INTO public.plain VALUES (1, 1)', qr/ERROR:  42501: the owner of table "plain" may not add to queue "readable"/, 'nor is a table filled by who may not add to it');
$node->safe_psql('postgres', q{
SET search_path = pg_catalog;
SET ROLE attacker;
DROP TABLE public.mine;
CREATE TABLE public.mine (user_id integer, item_id integer);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON public.mine FROM public.victim FOR EACH ROW EXECUTE FUNCTION public.als_note_change('user_id', 'item_id');
CREATE TRIGGER t BEFORE INSERT ON public.victim FOR EACH ROW EXECUTE FUNCTION public.spring_trigger();
});
fails_with($node, 'SET ROLE attacker; INSERT INTO public.mine VALUES (1, 1)', qr/ERROR:  55000: "victim" cannot serve as a queue of changed ratings/, 'nor does a trigger on it run as its owner');
is($node->safe_psql('postgres', 'SET search_path = pg_catalog; SELECT who, what, count(*) FROM public.caught GROUP BY 1, 2'), '', '... and nothing of others ran');

# A training on other servers, here another database
SKIP:
{
	skip 'postgres_fdw and dblink are not available', 18
	  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name IN ('postgres_fdw', 'dblink')}) < 2;
	my $traps = q{
SET ROLE attacker;
CREATE FUNCTION public.hashtext(name) RETURNS integer LANGUAGE sql AS $$SELECT public.spring('hashtext')::integer$$;
CREATE FUNCTION public.hashtext(text) RETURNS integer LANGUAGE sql AS $$SELECT public.spring('hashtext')::integer$$;
CREATE FUNCTION public.array_fill(real, integer[]) RETURNS real[] LANGUAGE sql AS $$SELECT ARRAY[public.spring('array_fill')::integer::real]$$;
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE sql AS $$SELECT public.spring('format')::text$$;
CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE sql AS $$SELECT public.spring('format')::text$$;
CREATE FUNCTION public.dblink_connect(text, name) RETURNS text LANGUAGE sql AS $$SELECT public.spring('dblink_connect')::text$$;
CREATE FUNCTION public.als_import(model text, users text, items text, regularization double precision, regularization_scaling double precision, regularization_by text, alpha double precision) RETURNS text
    LANGUAGE sql AS $$SELECT public.spring('als_import')::text$$;
CREATE DOMAIN trap.jsonb AS text;
CREATE DOMAIN trap.name AS text;
RESET ROLE;
};
	$node->safe_psql('postgres', 'CREATE DATABASE shard');
	$node->safe_psql('shard', $attack =~ s/CREATE ROLE attacker;//r);
	install_als($node, 'shard');
	$node->safe_psql('shard', 'CREATE TABLE ratings (user_id int, item_id int, rating real)');
	$node->safe_psql('postgres', sprintf q{
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION dblink;
CREATE SERVER shard FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'shard', extensions 'als');
CREATE USER MAPPING FOR CURRENT_USER SERVER shard;
CREATE TABLE shards (user_id int, item_id int, rating real) PARTITION BY HASH (user_id);
CREATE FOREIGN TABLE shards_0 PARTITION OF shards FOR VALUES WITH (MODULUS 1, REMAINDER 0) SERVER shard OPTIONS (table_name 'ratings');
INSERT INTO shards SELECT who, item_id, rating FROM ratings;
}, $node->host, $node->port);
	$node->safe_psql($_, $traps) foreach 'postgres', 'shard';
	$node->safe_psql('postgres', 'ALTER DATABASE shard SET search_path = trap, public, pg_catalog');
	foreach my $path ('public', 'trap, public, pg_catalog')
	{
		my ($status, $out, $error) = $node->psql('postgres', qq{
SET client_min_messages = warning; SET search_path = $path;
SELECT run FROM public.als_train_sharded('public.m_shards', 'public.shards', factors => 2, iterations => 2);
});
		is($error, '', "als_train_sharded works with search_path = $path");
		is($node->safe_psql($_, 'SET search_path = pg_catalog; SELECT who, what, count(*) FROM public.caught GROUP BY 1, 2'),
			'', "... and runs nothing of others in $_") foreach 'postgres', 'shard';
	}
	# what fits the calls of a server better, in als's own schema
	foreach my $trap ([ 'als_solve_row(integer[],real[],jsonb)', 'public.als_solution', 'NULL' ], [ 'als_starting_factors(integer,integer,integer)', 'real[]', q{'{1,1}'} ])
	{
		my ($function, $type, $result) = @$trap;
		foreach my $database ('shard', 'postgres')
		{
			$node->safe_psql($database, qq{SET search_path = pg_catalog; SET ROLE attacker;
CREATE FUNCTION public.$function RETURNS $type LANGUAGE plpgsql AS \$\$BEGIN PERFORM public.spring('better fit'); RETURN $result; END\$\$});
			my ($status, $out, $error) = $node->psql('postgres', q{\set VERBOSITY verbose
SELECT run FROM public.als_train_sharded('public.m_shards', 'public.shards', factors => 2, iterations => 2)});
			like($error, qr/ERROR:  55000: function (?:public\.)?\Q$function\E in database "$database" is not of the extension als\n.*DETAIL:  als_train_sharded would call.*HINT:  Drop it/s,
				"$function in $database is refused");
			is($node->safe_psql($_, 'SET search_path = pg_catalog; SELECT who, what, count(*) FROM public.caught GROUP BY 1, 2'),
				'', "... and does not run in $_") foreach 'postgres', 'shard';
			$node->safe_psql($database, "SET search_path = pg_catalog; DELETE FROM public.caught; DROP FUNCTION public.$function");
		}
	}
}

# Whoever owns a database may install als in it, and drop it
$node->safe_psql('postgres', 'CREATE ROLE shopkeeper; CREATE DATABASE shop OWNER shopkeeper');
is($node->safe_psql('shop', q{
SET client_min_messages = error;
SET ROLE shopkeeper;
CREATE SCHEMA shopkeeper;
SET search_path = shopkeeper;
CREATE EXTENSION als;
CREATE TABLE ratings AS SELECT i % 30 AS user_id, i % 17 AS item_id, 1::real AS rating FROM generate_series(1, 300) i;
SELECT (als_train('m', 'ratings', factors => 2, iterations => 2)).users;
SELECT count(*) FROM als_recommend('m', 1, 3, exclude_seen => false);
DROP EXTENSION als CASCADE;
SELECT count(*) FROM pg_extension WHERE extname = 'als';
}), "30\n3\n0", 'the owner of a database, no superuser, creates the extension, uses it and drops it');

# What a checker of extension scripts says, but for the names of the extension's
# own objects, which it cannot know.
SKIP:
{
	my @scripts = glob 'sql/als--*.sql';
	my ($out, $error);

	skip 'pgspot is not installed (pip install pgspot)', 2 * @scripts
	  unless eval { IPC::Run::run(['pgspot', '--version'], '>', \$out, '2>', \$error) };
	foreach my $script (@scripts)
	{
		IPC::Run::run(['pgspot', $script], '>', \$out, '2>', \$error);
		like($out, qr/Errors: \d+/, "pgspot has read $script");
		is(join("\n", grep { /^PS/ && !/^PS01[67]: Unqualified (object reference|function call): als_/ } split /\n/, $out),
			'', "pgspot finds nothing in $script");
	}
}

done_testing();
