-- A role without grants calls every function of the extension on the models, the
-- factors and the ratings of others: no row, no value and no word of an error has
-- anything in it that the role may not see.
SET client_min_messages = warning;
-- what they count depends on whether the server can share it: t/073_stats.pl
SET als.track_calls = off;
CREATE SCHEMA hidden;
CREATE SCHEMA open;
CREATE ROLE regress_als_nobody;
GRANT USAGE, CREATE ON SCHEMA open TO regress_als_nobody;
SET search_path = open, public;
CREATE TABLE hidden.ratings AS
    SELECT 'secret_u' || u AS user_id, 'secret_i' || i AS item_id, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 25;
-- rows that make functions complain, with ids in their details
CREATE TABLE hidden.broken AS TABLE hidden.ratings;
INSERT INTO hidden.broken VALUES ('secret_u1', 'secret_null', NULL), ('secret_u1', 'secret_nan', 'NaN'), ('secret_u1', NULL, 1);
CREATE VIEW hidden.barrier WITH (security_barrier) AS SELECT * FROM hidden.broken WHERE user_id = current_user;
SELECT users, items FROM als_train('hidden.model', 'hidden.ratings', factors => 3);
SELECT users, items FROM als_train('hidden.queried', 'SELECT * FROM hidden.ratings', factors => 3, feedback => 'explicit');
SELECT users, items FROM als_train('hidden.damaged', 'hidden.ratings', factors => 3);
UPDATE hidden.damaged_items SET factors = '{NaN,0,0}' WHERE item_id = 'secret_i7';
UPDATE hidden.damaged SET source = 'hidden.broken';
-- what the role can make of it: a model of its own that names what is another's
CREATE TABLE forged OF als_model;
INSERT INTO forged SELECT (m).* FROM hidden.model m;
CREATE TABLE stolen OF als_model;
CREATE TABLE own_users (user_id text PRIMARY KEY, factors real[] NOT NULL);
CREATE TABLE own_items (item_id text PRIMARY KEY, factors real[] NOT NULL);
INSERT INTO own_users SELECT 'u' || i, ARRAY[1, i, 0] FROM generate_series(1, 3) i;
INSERT INTO own_items SELECT 'i' || i, ARRAY[1, i, 0] FROM generate_series(1, 3) i;
INSERT INTO stolen SELECT (jsonb_populate_record(NULL::als_model, to_jsonb(m) || '{"source": "SELECT * FROM hidden.broken", "user_factors": "open.own_users", "item_factors": "open.own_items"}')).* FROM hidden.model m;
ALTER TABLE forged OWNER TO regress_als_nobody;
ALTER TABLE stolen OWNER TO regress_als_nobody;
ALTER TABLE own_users OWNER TO regress_als_nobody;
ALTER TABLE own_items OWNER TO regress_als_nobody;

-- What to give for an argument; NULL: it cannot be given
CREATE FUNCTION values_for(name text, type oid) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT unnest(CASE
        WHEN type = 'regclass'::regtype THEN
            (SELECT array_agg(c.oid::text || '::regclass' ORDER BY c.oid) FROM pg_class c
             WHERE relnamespace IN ('hidden'::regnamespace, 'open'::regnamespace) AND relkind IN ('r', 'v') AND relname <> 'calls')
        WHEN name = 'model' THEN ARRAY['''hidden.model''', '''open.forged''', '''open.new''', '''hidden.model_users''']
        WHEN name IN ('ratings', 'test') AND type = 'text'::regtype THEN
            ARRAY['''SELECT * FROM hidden.broken''', '''hidden.barrier''']
        WHEN name = 'grid' THEN ARRAY['''{"factors": [2]}''']
        WHEN name = 'options' THEN ARRAY['NULL', '''{"model": "hidden.model", "side": "users"}''', '''{"model": "open.forged", "side": "items"}''', '''{"model": "open.stolen", "side": "users"}''']
        WHEN name = 'other_id' THEN ARRAY['''secret_u1''::text', '''secret_i1''::text']
        WHEN name = 'other_ids' THEN ARRAY['ARRAY[''secret_u1'', ''secret_i1'']']
        WHEN name IN ('ratings', 'weights') AND type = 'real[]'::regtype THEN ARRAY['''{1,1}''']
        WHEN name IN ('ratings', 'weights') AND type = 'float8[]'::regtype THEN ARRAY['''{1}''']
        WHEN name = 'factors' AND type = 'real[]'::regtype THEN ARRAY['''{1,1}''::real[]']
        WHEN name = 'side' THEN ARRAY['''item''']
        WHEN name = 'packed' THEN ARRAY['''''']
        WHEN name = 'factors' THEN ARRAY['3']
        WHEN name = 'user_id' THEN ARRAY['''secret_u1''::text', '''secret_i1''::text', '''nobody''::text']
        WHEN name = 'item_id' THEN ARRAY['''secret_i1''::text']
        WHEN name = 'items' THEN ARRAY['ARRAY[''secret_i1'']']
        WHEN name IN ('rating', 'weight') THEN ARRAY['1']
        WHEN name = 'fraction' THEN ARRAY['0.5']
        WHEN name = 'training' THEN ARRAY['NULL']
        WHEN type IN ('anyelement'::regtype, 'anycompatible'::regtype) THEN ARRAY['NULL::text'] END)
$$;
-- All calls of a function with its first arguments, and with those that read
CREATE FUNCTION calls_of(function oid) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    p pg_proc := (SELECT p FROM pg_proc p WHERE oid = function);
    calls text[] := ARRAY[''];
BEGIN
    IF 'internal'::regtype = ANY (p.proargtypes) THEN
        RETURN;                 -- is not called by name
    END IF;
    FOR i IN 1 .. p.pronargs - p.pronargdefaults LOOP
        calls := array(SELECT concat_ws(', ', nullif(c, ''), v) FROM unnest(calls) c, values_for(p.proargnames[i], p.proargtypes[i - 1]) v);
    END LOOP;
    RETURN QUERY SELECT format('%s(%s%s)', p.oid::regproc, c, o)
    FROM unnest(calls) c, unnest(CASE
        WHEN 'cold_start' = ANY (p.proargnames) AND 'exclude_seen' = ANY (p.proargnames) THEN ARRAY['', ', exclude_seen => false', ', cold_start => ''popular''', ', cold_start => ''error''']
        WHEN p.proname = 'als_predict' THEN ARRAY['', ', fresh => true']
        WHEN 'validation' = ANY (p.proargnames) THEN ARRAY['', ', validation => ''hidden.broken''', ', validation_fraction => 0.5', ', rating_column => NULL']
        WHEN 'training' = ANY (p.proargnames) AND 'test' = ANY (p.proargnames) THEN
            ARRAY['', ', exclude_seen => false', ', training => ''hidden.broken''', ', rating_column => NULL']
        WHEN 'exclude_seen' = ANY (p.proargnames) THEN ARRAY['', ', exclude_seen => false']
        ELSE ARRAY[''] END) o;
END $$;
CREATE TABLE calls AS
    SELECT p.oid::regproc::text AS function, call, false AS reads FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid, calls_of(p.oid) call
    WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als');
INSERT INTO calls SELECT c.relname, c.relname, false FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
    WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind = 'v' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als');
INSERT INTO calls VALUES
    ('public.als_solve', '(SELECT als_solve(item_id, rating, ''{"model": "open.stolen", "side": "users"}'') FROM hidden.broken)', true),
    ('public.als_solve', '(SELECT als_solve(item_id, rating, rating, ''{"model": "open.stolen", "side": "users"}'') FROM hidden.broken)', true),
    ('als_train_agg', '(SELECT als_train_agg(''open.new'', user_id, item_id, rating, NULL) FROM hidden.broken)', true),
    ('als_convergence', '(SELECT als_convergence(m) FROM hidden.model m)', true);
SELECT count(DISTINCT function) AS functions, count(*) > 1000 AS many FROM calls;

-- As the role: what comes, and whether something comes along that is not its own
CREATE FUNCTION attempt(call text) RETURNS TABLE (outcome text, seen text) LANGUAGE plpgsql AS $$
DECLARE
    rows text;
    detail text;
    hint text;
    context text;
BEGIN
    SET LOCAL ROLE regress_als_nobody;
    EXECUTE format('SELECT string_agg(r::text, '' '') FROM %s r', call) INTO rows;
    RAISE EXCEPTION USING ERRCODE = 'ALSOK', MESSAGE = coalesce(rows, '');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    outcome := CASE WHEN SQLSTATE <> 'ALSOK' THEN SQLSTATE WHEN SQLERRM ~ '^[() ,]*$' THEN 'nothing' ELSE 'something' END;
    -- its own call and what surrounds it is no news
    seen := regexp_replace(concat_ws(' ', SQLERRM, detail, hint, replace(regexp_replace(context, '(SQL statement "SELECT string_agg[^\n]*\n)?PL/pgSQL function (open\.)?attempt.*', ''), call, '')),
                           'secret_[ui]1\y', '', 'g');
    RETURN NEXT;
END $$;
CREATE FUNCTION attempt_all(granted text) RETURNS TABLE (outcomes text, functions text, leaks bigint, leak text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE granted;
    -- this session has used all models, and kept what it read
    PERFORM als_predict('hidden.model', 'secret_u1', 'secret_i1'), (SELECT count(*) FROM als_recommend_as(NULL::text, 'hidden.model', 'secret_u1')),
            (SELECT count(*) FROM als_recommend_as(NULL::text, 'hidden.queried', NULL::text, cold_start => 'popular'));
    RETURN QUERY SELECT f.outcomes, string_agg(function, ' ' ORDER BY function COLLATE "C"), sum(f.leaks)::bigint, min(f.leak)
        FROM (SELECT regexp_replace(function, '.*\.', '') AS function, string_agg(DISTINCT outcome, ' ' ORDER BY outcome) AS outcomes,
                     count(*) FILTER (WHERE seen ~ 'secret_') AS leaks, min(call || ': ' || seen) FILTER (WHERE seen ~ 'secret_') AS leak
              FROM calls c, attempt(c.call) GROUP BY 1) f
        GROUP BY f.outcomes ORDER BY f.outcomes;
END $$;
\pset format unaligned
\pset fieldsep ' | '
SELECT * FROM attempt_all('');
-- With the schema alone; a few columns; and where row-level security forbids what a grant allows
SELECT * FROM attempt_all('GRANT USAGE ON SCHEMA hidden TO regress_als_nobody');
SELECT * FROM attempt_all('GRANT SELECT (user_id) ON hidden.ratings, hidden.broken, hidden.model_users TO regress_als_nobody;
                           GRANT SELECT (run) ON hidden.model, hidden.queried, hidden.damaged TO regress_als_nobody');
SELECT * FROM attempt_all('GRANT SELECT ON hidden.model, hidden.queried, hidden.damaged, hidden.ratings, hidden.broken, hidden.barrier TO regress_als_nobody;
                           ALTER TABLE hidden.model ENABLE ROW LEVEL SECURITY;
                           ALTER TABLE hidden.queried ENABLE ROW LEVEL SECURITY;
                           ALTER TABLE hidden.damaged ENABLE ROW LEVEL SECURITY;
                           ALTER TABLE hidden.ratings ENABLE ROW LEVEL SECURITY;
                           ALTER TABLE hidden.broken ENABLE ROW LEVEL SECURITY');

-- SELECT on the model is the right to predict with it; of the ratings a policy shows the role its own
ALTER TABLE hidden.model DISABLE ROW LEVEL SECURITY;
ALTER TABLE hidden.queried DISABLE ROW LEVEL SECURITY;
CREATE POLICY own ON hidden.ratings FOR SELECT USING (user_id = 'nobody');
INSERT INTO hidden.ratings VALUES ('nobody', 'secret_i3', 5), ('nobody', 'secret_i4', 1);
CREATE FUNCTION hidden.shows(model regclass) RETURNS TABLE (popular text[], unseen bigint, own_unseen bigint, explained bigint, own_explained text[], others bigint, all_others bigint) LANGUAGE sql AS $$
    SELECT array(SELECT item_id || ' ' || score FROM als_recommend_as(NULL::text, model, NULL::text, 20, cold_start => 'popular')),
           (SELECT count(*) FROM als_recommend_as(NULL::text, model, 'secret_u1', 100)),
           (SELECT count(*) FROM als_recommend_as(NULL::text, model, 'nobody', 100)),
           (SELECT count(*) FROM als_explain_as(NULL::text, model, 'secret_u1', 'secret_i1')),
           array(SELECT item_id FROM als_explain_as(NULL::text, model, 'nobody', 'secret_i1') ORDER BY 1),
           (SELECT value FROM als_evaluate(model, 'hidden.ratings') WHERE metric = 'users'),
           (SELECT count(*) FROM als_recommend_all_as(NULL::text, NULL::text, model, 100) WHERE user_id = 'secret_u1')
$$;
-- the owner first, from whose session the rest of what is kept comes
SELECT cardinality(popular) AS popular, unseen, own_unseen, explained, own_explained, others, all_others FROM hidden.shows('hidden.queried');
SET ROLE regress_als_nobody;
SELECT * FROM hidden.shows('hidden.model');
SELECT * FROM hidden.shows('hidden.queried');
RESET ROLE;
SELECT cardinality(popular) AS popular, unseen, own_unseen, explained, own_explained, others, all_others FROM hidden.shows('hidden.queried');
-- that it would be noticed if there was something
SELECT outcome, seen ~ 'secret_' AS seen FROM attempt($$als_train('open.new', 'SELECT * FROM hidden.broken WHERE item_id = ''secret_null''')$$);
ALTER TABLE hidden.broken DISABLE ROW LEVEL SECURITY;
SELECT outcome, seen ~ 'secret_' AS seen FROM attempt($$als_train('open.new', 'SELECT * FROM hidden.broken WHERE item_id = ''secret_null''')$$);
SELECT outcome, seen ~ 'secret_' AS seen FROM attempt($$als_recommend_as(NULL::text, 'hidden.model', 'secret_u1')$$);
-- and a view with a barrier shows what it lets through, whatever als adds to its query
CREATE VIEW hidden.mine WITH (security_barrier) AS SELECT user_id, item_id, rating FROM hidden.broken WHERE user_id <> 'secret_u1';
GRANT SELECT ON hidden.mine TO regress_als_nobody;
UPDATE hidden.queried SET source = 'hidden.mine';
SET ROLE regress_als_nobody;
SELECT cardinality(popular) AS popular, unseen, own_unseen, explained, own_explained, others, all_others FROM hidden.shows('hidden.queried');
RESET ROLE;

SET client_min_messages = error;
DROP SCHEMA hidden, open CASCADE;
DROP ROLE regress_als_nobody;
