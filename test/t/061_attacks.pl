# Whoever may create functions and operators in a schema of the search_path runs
# none of them by way of als as somebody else.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
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
$node->safe_psql('postgres', q{
CREATE EXTENSION als SCHEMA public;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 + (u * i) % 4 AS rating
    FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u * 7 + i * 3) % 5 < 2;
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

# What a checker of extension scripts says, but for the names of the extension's
# own objects, which it cannot know.
SKIP:
{
	my $script = 'sql/als--1.0.sql';
	my ($out, $error);

	skip 'pgspot is not installed (pip install pgspot)', 1
	  unless eval { IPC::Run::run(['pgspot', '--version'], '>', \$out, '2>', \$error) };
	IPC::Run::run(['pgspot', $script], '>', \$out, '2>', \$error);
	is(join("\n", grep { /^PS/ && !/^PS01[67]: Unqualified (object reference|function call): als_/ } split /\n/, $out),
		'', 'pgspot finds nothing');
}

done_testing();
