/* als--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION als UPDATE TO '1.1'" to load this file. \quit

--
-- Solving from ratings with weights.  Functions of their own in the library, so that
-- one of version 1.0 does not take a weight for options.
--

CREATE FUNCTION als_fold_in(
    model           regclass,
    items           "any",
    ratings         double precision[],
    weights         double precision[]
) RETURNS real[]
AS 'MODULE_PATHNAME', 'als_fold_in_weighted'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_fold_in(regclass, "any", double precision[], double precision[])
IS 'factors of somebody who has these items with these weights, and the bias behind them if the model is explicit; null if no item is known';

CREATE FUNCTION als_fold_in(
    model           regclass,
    items           text,
    ratings         double precision[],
    weights         double precision[]
) RETURNS real[]
AS 'MODULE_PATHNAME', 'als_fold_in_weighted'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_fold_in(regclass, text, double precision[], double precision[])
IS 'factors of somebody who has these items with these weights, and the bias behind them if the model is explicit; null if no item is known';

CREATE FUNCTION als_solve_transfn(internal, "any", double precision, double precision, jsonb)
RETURNS internal
AS 'MODULE_PATHNAME', 'als_solve_weighted_transfn'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION als_solve_transfn(internal, "any", double precision, double precision, jsonb)
IS 'aggregate transition function of als_solve with weights';

CREATE AGGREGATE als_solve(other_id "any", rating double precision, weight double precision, options jsonb) (
    SFUNC = als_solve_transfn,
    STYPE = internal,
    SSPACE = 1024,
    FINALFUNC = als_solve_finalfn,
    FINALFUNC_MODIFY = READ_WRITE,
    PARALLEL = RESTRICTED
);
COMMENT ON AGGREGATE als_solve("any", double precision, double precision, jsonb)
IS 'solves a user or item from its ratings and their weights, as half an iteration of a training does';

CREATE FUNCTION als_solve_row(other_ids anyarray, ratings real[], weights real[], options jsonb)
RETURNS als_solution
AS 'MODULE_PATHNAME', 'als_solve_row_weighted'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_solve_row(anyarray, real[], real[], jsonb)
IS 'solves a user or item from its ratings and their weights, which have been grouped before';

--
-- Training where the ratings are, with Citus as with postgres_fdw: factors travel in
-- blocks of rows.
--

-- What servers of both kinds do for a side: group its ratings into by_side and number
-- blocks of rows, take in the other side's factors, solve a block after the other; and the
-- factors that the side starts with.
CREATE FUNCTION als_sharded_statements(side text, work name, als name, by_side text, grouped text, explicit boolean, factors integer, seed bigint,
                                       OUT group_ratings text, OUT take text, OUT solved text, OUT started text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    other text := CASE side WHEN 'users' THEN 'items' ELSE 'users' END;
    stored text := CASE WHEN explicit THEN format('f[:%s], f[%s]', factors, factors + 1) ELSE 'f' END;
    block_rows integer := 65536 / factors + 1;      -- a quarter of a megabyte
BEGIN
    group_ratings := format('INSERT INTO %1$s SELECT (row_number() OVER () - 1) / %2$s, g.* FROM (%3$s) g; ANALYZE %1$s (block)', by_side, block_rows, grouped);
    -- rows in the order of ids, as ids in arrays are; Citus gets blocks, by OFFSET 0, and not rows
    take := format('TRUNCATE %1$I.model_%3$s;'
        ' INSERT INTO %1$I.model_%3$s SELECT id, %4$s FROM (SELECT unnest(ids) AS id, %2$I.als_unpack_factors(factors, %5$s) AS f'
        ' FROM (SELECT ids, factors FROM %1$I.%3$s OFFSET 0) b) s ORDER BY id', work, als, other, stored, factors + explicit::integer);
    solved := format('SELECT t.* FROM generate_series(0, (SELECT max(block) FROM %2$s)) b(number),'
        ' LATERAL (SELECT array_agg(id) AS ids, %1$I.als_pack_factors((solved).factors), sum((solved).ratings)::bigint, sum((solved).loss), sum((solved).penalty)'
        ' FROM (SELECT id, %1$I.als_solve_row(other_ids, ratings, %3$L::jsonb) AS solved FROM %2$s WHERE block = number OFFSET 0) s'
        ' WHERE solved IS NOT NULL) t WHERE ids IS NOT NULL', als, by_side, jsonb_build_object('model', work || '.model', 'side', side));
    started := format('SELECT array_agg(id) AS ids, %1$I.als_pack_factors(%1$I.als_starting_factors(id, %3$s, %4$s)%5$s), 0::bigint, 0::float8, 0::float8'
        ' FROM %2$s GROUP BY block', als, by_side, factors, seed, CASE WHEN explicit THEN ' || 0::real' END);
END $$;
COMMENT ON FUNCTION als_sharded_statements(text, name, name, text, text, boolean, integer, bigint)
IS 'part of als_train_sharded: what a server does for a side';

CREATE OR REPLACE FUNCTION als_sharded_server(work name, comment text, als name, types text[], by_user text, by_item text, sums text,
                                              explicit boolean, factors integer, seed bigint, import text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    users record;
    items record;
    block text := ' (ids %1$s, factors bytea, ratings bigint, loss float8, penalty float8)';
    script text;
    r record;
BEGIN
    EXECUTE format('SELECT * FROM %I.als_sharded_statements(''users'', $1, $2, format(''%%I.by_user'', $1), $3, $4, $5, $6)', als)
        INTO users USING work, als, by_user, explicit, factors, seed;
    EXECUTE format('SELECT * FROM %I.als_sharded_statements(''items'', $1, $2, format(''%%I.by_item'', $1), $3, $4, $5, $6)', als)
        INTO items USING work, als, by_item, explicit, factors, seed;
    script := format('DROP SCHEMA IF EXISTS %1$I CASCADE; CREATE SCHEMA %1$I; COMMENT ON SCHEMA %1$I IS %2$L;'
        ' CREATE UNLOGGED TABLE %1$I.ratings (item_id %5$s, user_id %3$s, rating real);'
        ' CREATE UNLOGGED TABLE %1$I.by_user (block bigint, id %3$s NOT NULL, other_ids %6$s, ratings real[]);'
        ' CREATE UNLOGGED TABLE %1$I.by_item (block bigint, id %5$s NOT NULL, other_ids %4$s, ratings real[]);'
        ' CREATE INDEX ON %1$I.by_user (block); CREATE INDEX ON %1$I.by_item (block);'
        ' CREATE UNLOGGED TABLE %1$I.users (ids %4$s, factors bytea);'
        ' CREATE UNLOGGED TABLE %1$I.items (ids %6$s, factors bytea);'
        -- what is read in each iteration is not worth compressing
        ' ALTER TABLE %1$I.by_user ALTER other_ids SET STORAGE EXTERNAL, ALTER ratings SET STORAGE EXTERNAL;'
        ' ALTER TABLE %1$I.by_item ALTER other_ids SET STORAGE EXTERNAL, ALTER ratings SET STORAGE EXTERNAL;'
        ' ALTER TABLE %1$I.users ALTER factors SET STORAGE EXTERNAL; ALTER TABLE %1$I.items ALTER factors SET STORAGE EXTERNAL;'
        ' CREATE UNLOGGED TABLE %1$I.parameters (user_id %3$s, item_id %5$s, regularization float8, regularization_scaling float8, alpha float8, mean_rating float8);',
        work, comment, types[1], types[2], types[3], types[4]);
    FOR r IN SELECT * FROM (VALUES
        ('staged', ' (users bigint, items bigint, ratings bigint, nonzero bigint, roots float8, mean float8, squares float8)',
         concat_ws('; ', users.group_ratings, items.group_ratings, format('TRUNCATE %I.ratings', work), sums)),
        -- its tables are read whole, and gone when the training is
        ('imported', ' (done boolean)', format('SELECT %2$s; ALTER TABLE %1$I.model_users DROP CONSTRAINT IF EXISTS model_users_pkey, SET UNLOGGED;'
         ' ALTER TABLE %1$I.model_items DROP CONSTRAINT IF EXISTS model_items_pkey, SET UNLOGGED; SELECT true', work, import)),
        ('started', format(block, types[6]), items.started),
        ('solved_users', format(block, types[5]), concat_ws('; ', users.take, users.solved)),
        ('solved_items', format(block, types[6]), concat_ws('; ', items.take, items.solved)),
        ('emptied', ' (done boolean)', format('TRUNCATE %1$I.ratings, %1$I.by_user, %1$I.by_item, %1$I.users, %1$I.items, %1$I.model_users, %1$I.model_items; SELECT true', work)))
        v(name, result, body) LOOP
        script := script || format('CREATE FUNCTION %1$I.%2$I() RETURNS TABLE%3$s LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off AS %4$L;'
            ' CREATE VIEW %1$I.%2$I AS SELECT * FROM %1$I.%2$I();', work, r.name, r.result, r.body);
    END LOOP;
    RETURN script;
END $$;

-- What a node of Citus does: statements, and a query of one value, which it returns; in the
-- places of @shard@ and @beside@ are the names of shards.
CREATE FUNCTION als_sharded_answer(act text, query text, shards text[])
RETURNS json
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    answer json;
BEGIN
    IF shards IS NOT NULL THEN
        -- Citus leaves out the schema public
        shards := ARRAY(SELECT coalesce(to_regclass(s), to_regclass('public.' || s)) FROM unnest(shards) WITH ORDINALITY u(s, n) ORDER BY n);
        act := replace(replace(act, '@shard@', shards[1]), '@beside@', shards[2]);
        query := replace(replace(query, '@shard@', shards[1]), '@beside@', shards[2]);
    END IF;
    EXECUTE act;
    IF query IS NOT NULL THEN
        EXECUTE query INTO answer;
    END IF;
    RETURN answer;
END $$;
COMMENT ON FUNCTION als_sharded_answer(text, text, text[])
IS 'part of als_train_sharded: what a node of Citus does';

-- Has nodes of Citus do that at the same time, each in transactions of its own: 'coordinator'
-- or 'all_nodes'; or the 'nodes' with shards of a table; or these for each of the 'shards', and
-- for the shard of another table beside it, in as many sessions as Citus has for a query.
CREATE FUNCTION als_sharded_nodes(als name, place text, act text, query text, sharded regclass, beside regclass,
                                  OUT nodeid integer, OUT success boolean, OUT result text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    command text := format('SELECT pg_catalog.json_agg(%I.als_sharded_answer(%L::pg_catalog.text, %L::pg_catalog.text, shards::pg_catalog.text[]))'
                           ' FROM pg_catalog.unnest(', als, act, query);
BEGIN
    IF place IN ('coordinator', 'all_nodes') THEN
        RETURN QUERY EXECUTE format('SELECT * FROM run_command_on_%s($1)', place) USING command || '''{NULL}''::pg_catalog.text[]) s(shards)';
        RETURN;
    END IF;
    RETURN QUERY WITH shards AS (
        SELECT nodeid, nodename, nodeport, CASE place WHEN 'shards' THEN ARRAY[shard_name(sharded, s.shardid), shard_name(beside, b.shardid)]::text END AS names,
               CASE place WHEN 'shards' THEN row_number() OVER (PARTITION BY nodeid ORDER BY s.shardid) % current_setting('citus.max_adaptive_executor_pool_size')::integer END AS session
        FROM pg_dist_shard s JOIN pg_dist_placement p ON p.shardid = s.shardid AND shardstate = 1 JOIN pg_dist_node n ON n.groupid = p.groupid AND noderole = 'primary'
        LEFT JOIN pg_dist_shard b ON b.logicalrelid = beside AND b.shardminvalue = s.shardminvalue
        WHERE s.logicalrelid = sharded),
    sessions AS (
        SELECT nodeid, nodename, nodeport, command || format('%L::pg_catalog.text[]) s(shards)', array_agg(DISTINCT names)) AS command
        FROM shards GROUP BY nodeid, nodename, nodeport, session),
    commands AS (
        SELECT array_agg(nodeid) AS ids, array_agg(nodename) AS names, array_agg(nodeport) AS ports, array_agg(command) AS commands FROM sessions)
    SELECT ids[n], r.success, r.result
    FROM commands c, master_run_on_worker(c.names, c.ports, c.commands, true) WITH ORDINALITY r(name, port, success, result, n);
END $$;
COMMENT ON FUNCTION als_sharded_nodes(name, text, text, text, regclass, regclass)
IS 'part of als_train_sharded: has nodes of Citus do something';

-- The statements of a training with Citus, likewise: each is a query of als_sharded_nodes.
-- by_user and by_item group the ratings of @beside@; the queries of sums and of the loss have
-- what nodes have answered as $1.
CREATE OR REPLACE FUNCTION als_sharded_citus(work name, comment text, als name, types text[], ratings regclass, copy text, by_user text, by_item text, summed text,
                                             explicit boolean, factors integer, seed bigint, import text, guard text,
                                             OUT setup text[], OUT sums text, OUT prepare text[], OUT start text[], OUT iterate text[],
                                             OUT objective text, OUT solved text, OUT emptied text[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sent text := format('SELECT * FROM %1$I.als_sharded_nodes(%1$L, %%L, %%L, %%L, %%L, %%L)', als);
    store text := 'SELECT set_config(''citus.enable_manual_changes_to_shards'', ''on'', true); TRUNCATE @beside@; INSERT INTO @beside@ SELECT ids[1], s.* FROM (%s) s';
    statements text := format('SELECT * FROM %I.als_sharded_statements($1, $2, $3, ''@shard@'', $4, $5, $6, $7)', als);
    take text := 'SELECT set_config(''citus.max_intermediate_result_size'', ''-1'', true); ';
    users record;
    items record;
BEGIN
    EXECUTE statements INTO users USING 'users'::text, work, als, by_user, explicit, factors, seed;
    EXECUTE statements INTO items USING 'items'::text, work, als, by_item, explicit, factors, seed;
    setup := ARRAY[format(sent, 'all_nodes', format('DO %L', guard), NULL, NULL, NULL), format(sent, 'coordinator', format('DROP SCHEMA IF EXISTS %I CASCADE', work), NULL, NULL, NULL),
        format(sent, 'coordinator', format('CREATE SCHEMA %1$I; COMMENT ON SCHEMA %1$I IS %2$L; CREATE TABLE %1$I.ratings (item_id %5$s, user_id %3$s, rating real);'
            ' CREATE TABLE %1$I.by_user (block bigint, id %3$s NOT NULL, other_ids %6$s, ratings real[]);'
            ' CREATE TABLE %1$I.by_item (block bigint, id %5$s NOT NULL, other_ids %4$s, ratings real[]);'
            ' CREATE INDEX ON %1$I.by_user (block); CREATE INDEX ON %1$I.by_item (block);'
            ' CREATE TABLE %1$I.users (id %3$s, ids %4$s, factors bytea, ratings bigint, loss float8, penalty float8);'
            ' CREATE TABLE %1$I.items (id %5$s, ids %6$s, factors bytea, ratings bigint, loss float8, penalty float8);'
            ' ALTER TABLE %1$I.by_user ALTER other_ids SET STORAGE EXTERNAL, ALTER ratings SET STORAGE EXTERNAL;'
            ' ALTER TABLE %1$I.by_item ALTER other_ids SET STORAGE EXTERNAL, ALTER ratings SET STORAGE EXTERNAL;'
            ' ALTER TABLE %1$I.users ALTER factors SET STORAGE EXTERNAL; ALTER TABLE %1$I.items ALTER factors SET STORAGE EXTERNAL;'
            ' SELECT create_distributed_table(''%1$I.by_user'', ''id'', colocate_with => %7$L), create_distributed_table(''%1$I.users'', ''id'', colocate_with => ''%1$I.by_user''),'
            ' create_distributed_table(''%1$I.ratings'', ''item_id'', shard_count => (SELECT count(*)::integer FROM pg_dist_shard WHERE logicalrelid = %7$L::regclass)), create_distributed_table(''%1$I.by_item'', ''id'', colocate_with => ''%1$I.ratings''),'
            ' create_distributed_table(''%1$I.items'', ''id'', colocate_with => ''%1$I.by_item'')',
            work, comment, types[1], types[2], types[3], types[4], ratings), NULL, NULL, NULL),
        format(sent, 'coordinator', copy, NULL, NULL, NULL),
        format(sent, 'shards', users.group_ratings, NULL, format('%I.by_user', work), ratings), format(sent, 'shards', items.group_ratings, NULL, format('%I.by_item', work), format('%I.ratings', work)),
        format(sent, 'coordinator', format('TRUNCATE %I.ratings', work), format('SELECT row_to_json(s) FROM (%s) s', summed), NULL, NULL)];
    sums := 'SELECT s.* FROM json_to_record($1[1]) s(users bigint, items bigint, ratings bigint, nonzero bigint, roots float8, mean float8, squares float8)';
    prepare := ARRAY[format(sent, 'all_nodes', format('SELECT %2$s; ALTER TABLE %1$I.model_users DROP CONSTRAINT IF EXISTS model_users_pkey;'
        ' ALTER TABLE %1$I.model_items DROP CONSTRAINT IF EXISTS model_items_pkey', work, import), NULL, NULL, NULL)];
    start := ARRAY[format(sent, 'shards', format(store, items.started), NULL, format('%I.by_item', work), format('%I.items', work))];
    iterate := ARRAY[format(sent, 'nodes', take || users.take, NULL, format('%I.by_user', work), NULL),
        format(sent, 'shards', format(store, users.solved), 'SELECT json_build_object(''part'', sum(penalty), ''ratings'', sum(ratings)) FROM @beside@', format('%I.by_user', work), format('%I.users', work)),
        format(sent, 'nodes', take || items.take, NULL, format('%I.by_item', work), NULL),
        format(sent, 'shards', format(store, items.solved), 'SELECT json_build_object(''part'', sum(loss)) FROM @beside@', format('%I.by_item', work), format('%I.items', work))];
    objective := 'SELECT sum((a->>''part'')::float8) AS loss, sum((a->>''ratings'')::bigint)::bigint AS ratings FROM unnest($1) a';
    solved := format('SELECT unnest(ids) AS id, %I.als_unpack_factors(factors, %s) AS f FROM (SELECT ids, factors FROM %I.%%I OFFSET 0) b', als, factors + explicit::integer, work);
    emptied := '{}';
END $$;

-- Executes statements; those of Citus are queries of what nodes have answered, and what they return.
DROP FUNCTION als_sharded_asked(text);
DROP FUNCTION als_sharded_run(text[], boolean);
CREATE FUNCTION als_sharded_run(steps text[], citus boolean)
RETURNS json[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step text;
    answers json[] := '{}';
    r record;
BEGIN
    FOREACH step IN ARRAY steps LOOP
        IF NOT citus THEN
            EXECUTE step;
            CONTINUE;
        END IF;
        FOR r IN EXECUTE step LOOP
            IF NOT r.success THEN
                RAISE EXCEPTION 'a node of Citus cannot take part in the training' USING ERRCODE = 'external_routine_exception',
                    DETAIL = format('Node %s says: %s', r.nodeid, r.result);
            END IF;
            answers := answers || ARRAY(SELECT value FROM json_array_elements(r.result::json) WHERE json_typeof(value) = 'object');
        END LOOP;
    END LOOP;
    RETURN answers;
END $$;
COMMENT ON FUNCTION als_sharded_run(text[], boolean)
IS 'part of als_train_sharded: executes statements';

CREATE OR REPLACE FUNCTION als_train_sharded(
    model           text,
    ratings         regclass,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    feedback        text DEFAULT 'implicit',
    factors         integer DEFAULT 100,
    regularization  double precision DEFAULT NULL,
    regularization_scaling double precision DEFAULT NULL,
    regularization_by text DEFAULT 'confidence',
    alpha           double precision DEFAULT NULL,
    iterations      integer DEFAULT 15,
    seed            bigint DEFAULT 42,
    verbose         boolean DEFAULT false
) RETURNS als_model
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 1000000
SET DateStyle = 'ISO'           -- of ids that other sessions read
SET extra_float_digits = 3      -- and of parameters
AS $$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
    messages pg_catalog.text := pg_catalog.current_setting('client_min_messages');
    started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    target pg_catalog.text[] := pg_catalog.parse_ident(model);
    existing pg_catalog.regclass := pg_catalog.to_regclass(model);
    creation pg_catalog.name := pg_catalog.current_schema();
    als pg_catalog.name;                   -- the schemas of the extensions
    dblink pg_catalog.name;
    servers pg_catalog.name[];             -- of postgres_fdw; null: Citus
    citus boolean;
    types pg_catalog.text[];
    examples pg_catalog.text[];            -- an id of a user and one of an item
    work pg_catalog.name;                  -- schema of what is made meanwhile, here and on all servers
    comment pg_catalog.text;
    explicit boolean;
    guard pg_catalog.text;                 -- against functions of others
    settle pg_catalog.text;                -- query of the parameters
    run pg_catalog.text;                   -- of statements
    group_query pg_catalog.text;           -- of the query that groups ratings
    source pg_catalog.text;                -- of ratings, but for the relation
    copied pg_catalog.text;                -- of their copy on a server
    copy pg_catalog.text;                  -- ... which makes it
    import pg_catalog.text;                -- of a model with one row a side, which are these
    examples_of pg_catalog.text[];
    by_user pg_catalog.text;
    by_item pg_catalog.text;
    summed pg_catalog.text;
    plan pg_catalog.record;
    answers pg_catalog.json[];             -- of nodes of Citus
    sums pg_catalog.record;
    chosen pg_catalog.record;
    mean pg_catalog.float8;
    deviation pg_catalog.float8;
    latest pg_catalog.record;              -- loss and number of ratings, duplicates merged
    losses pg_catalog.float8[] := '{}';
    trained pg_catalog.record;
    -- the last that is sent to a server may have to wait for long
    clean pg_catalog.text := 'SELECT set_config(name, ''0'', false) FROM pg_settings WHERE name IN (''lock_timeout'', ''statement_timeout'','
        ' ''transaction_timeout'', ''client_connection_check_interval''); DROP SCHEMA IF EXISTS %I CASCADE';
    leave pg_catalog.text := 'SELECT %1$I.dblink_send_query(c, $1), %1$I.dblink_disconnect(c)'
        ' FROM unnest(%1$I.dblink_get_connections()) c WHERE starts_with(c, ''als_sharded_'')';
    r pg_catalog.record;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    SELECT nspname INTO als FROM pg_extension e JOIN pg_namespace s ON s.oid = e.extnamespace WHERE extname = 'als';
    SELECT nspname INTO dblink FROM pg_extension e JOIN pg_namespace s ON s.oid = e.extnamespace WHERE extname = 'dblink';
    settle := format('SELECT * FROM %I.als_sharded_parameters($1, $2, $3, $4, $5, $6, $7, $8, $9::float8, $10::float8, $11::float8, $12, $13)', als);
    run := format('SELECT %I.als_sharded_run($1, $2)', als);
    group_query := format('SELECT %I.als_sharded_grouped($1, $2, $3)', als);

    -- what was asked for
    FOR r IN SELECT * FROM (VALUES ('model', model), ('ratings', ratings::text), ('user_column', user_column), ('item_column', item_column)) v(name, value)
        WHERE value IS NULL LOOP
        RAISE EXCEPTION '% must not be null', r.name USING ERRCODE = 'null_value_not_allowed';
    END LOOP;
    EXECUTE settle INTO chosen USING feedback, factors, regularization, regularization_scaling, regularization_by, alpha, iterations, seed,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::float8, NULL::float8;
    explicit := feedback = 'explicit';
    EXECUTE format('SELECT %I.als_sharded_types($1, $2, $3, $4)', als) INTO types USING ratings, user_column, item_column, rating_column;
    IF array_length(target, 1) = 3 THEN     -- the first is this database: to_regclass has made sure
        target := target[2:3];
    ELSIF array_length(target, 1) = 1 THEN
        target := ARRAY[coalesce((SELECT nspname FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace WHERE c.oid = existing), creation), target[1]];
    END IF;
    IF target[1] IS NULL THEN
        RAISE EXCEPTION 'no schema has been selected to create in' USING ERRCODE = 'invalid_schema_name';
    END IF;
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = existing AND reloftype <> format('%I.als_model', als)::regtype) THEN
        RAISE EXCEPTION '"%" is not an als model', existing USING ERRCODE = 'wrong_object_type', HINT = 'Choose another name for the model.';
    END IF;

    -- where the ratings are
    EXECUTE format('SELECT %I.als_sharded_servers($1, $2)', als) INTO servers USING ratings, user_column;
    citus := servers IS NULL;
    IF citus AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'als_train_sharded with Citus needs isolation level READ COMMITTED' USING ERRCODE = 'invalid_transaction_state',
            DETAIL = 'It reads what its own statements on the nodes have committed.';
    ELSIF citus THEN
        PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true),    -- for DROP SCHEMA
                set_config('citus.max_intermediate_result_size', '-1', true);       -- for the factors of a side
    ELSIF dblink IS NULL THEN
        RAISE EXCEPTION 'als_train_sharded needs the extension dblink' USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'It makes tables on the servers with it.', HINT = 'CREATE EXTENSION dblink.';
    END IF;

    -- one training of a model at a time, and one in a transaction: it holds its
    -- tables on the servers until the end
    work := 'als_sharded_' || left(md5(format('%s/%s/%s', (SELECT system_identifier FROM pg_control_system()), current_database(), target)), 16);
    IF EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 2 AND granted
               AND classid = (hashtext('als_train_sharded')::bigint & 4294967295)::oid AND objid = (hashtext(work)::bigint & 4294967295)::oid) THEN
        RAISE EXCEPTION 'model "%" has been trained by als_train_sharded in this transaction already', model
            USING ERRCODE = 'object_in_use', HINT = 'Train it in a transaction of its own.';
    END IF;
    comment := format('working tables of als_train_sharded for model %s of database %s', model, current_database());
    PERFORM pg_advisory_xact_lock(hashtext('als_train_sharded'), hashtext(work));
    EXECUTE format('SELECT %I.als_sharded_begin($1, $2, $3, $4, $5)', als) USING format('%I.%I', target[1], target[2]), ratings::text, user_column, item_column, explicit;
    EXECUTE format('SELECT %I.als_sharded_guard()', als) INTO guard;
    EXECUTE format('DO %L', guard);

    BEGIN
        EXECUTE format('SELECT ARRAY[%I::text, %I::text] FROM %s WHERE %1$I IS NOT NULL AND %2$I IS NOT NULL LIMIT 1', user_column, item_column, ratings)
            INTO examples;
        IF examples IS NULL THEN
            RAISE EXCEPTION 'there are no ratings to train from'
                USING ERRCODE = 'no_data_found', HINT = 'Check that the relation or query returns rows.';
        END IF;

        -- Each server gets a copy of its share of the ratings by item, groups it and its
        -- ratings by user, and has a model to solve against, whose factors are replaced
        -- from half-iteration to half-iteration.  What an earlier training may have left
        -- is dropped.  als_import gets all of its arguments with their types, so that no
        -- other of its name fits better.
        FOR n IN 1 .. 2 LOOP
            examples_of[n] := format('SELECT %s AS %s, pg_catalog.array_fill(0::real, ARRAY[%s]) AS factors%s%s',
                CASE WHEN citus THEN format('%L::%s', examples[n], types[2 * n - 1]) ELSE (ARRAY['user_id', 'item_id'])[n] END,
                (ARRAY['user_id', 'item_id'])[n], factors, CASE WHEN explicit THEN ', 0 AS bias' END, CASE WHEN NOT citus THEN format(' FROM %I.parameters', work) END);
        END LOOP;
        import := format('%I.als_import(%L::text, %L::text, %L::text, NULL::text, ''user_id''::text, ''item_id''::text, ''rating''::text,'
            ' NULL::text, NULL::jsonb, NULL::text, NULL::interval, NULL::timestamptz, NULL::text, %L::text, p.regularization, p.regularization_scaling, %L::text, p.alpha, false, true, p.mean_rating) FROM %s',
            als, work || '.model', examples_of[1], examples_of[2], feedback, regularization_by,
            CASE WHEN citus THEN '(VALUES (@parameters@)) p(regularization, regularization_scaling, alpha, mean_rating)' ELSE format('%I.parameters p', work) END);
        source := format('SELECT %I AS user_id, %I AS item_id, %s AS rating FROM ', user_column, item_column, coalesce(quote_ident(rating_column), '1'));
        copied := format('SELECT * FROM %s', CASE WHEN citus THEN '@beside@' ELSE format('%I.ratings', work) END);
        copy := format('INSERT INTO %I.ratings (user_id, item_id, rating) %s%s', work, source, ratings);
        EXECUTE group_query INTO by_item USING 'items'::text, copied, feedback;
        EXECUTE format('SELECT %I.als_sharded_sums($1)', als) INTO summed USING work;
        IF citus THEN
            EXECUTE group_query INTO by_user USING 'users'::text, source || '@beside@', feedback;
            EXECUTE format('SELECT * FROM %I.als_sharded_citus($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)', als) INTO plan
                USING work, comment, als, types, ratings, copy, by_user, by_item, summed, explicit, factors, seed, import, guard;
        ELSE
            EXECUTE format('SELECT %I.als_sharded_connect($1, $2, $3, $4)', als) USING dblink, als, servers, guard;
            FOR n IN 1 .. cardinality(servers) LOOP
                EXECUTE format('SELECT %I.als_sharded_source($1, $2, $3, $4, $5)', als) INTO source USING ratings, servers[n], user_column, item_column, rating_column;
                EXECUTE group_query INTO by_user USING 'users'::text, source, feedback;
                EXECUTE format('SELECT %1$I.dblink_exec($1, %2$I.als_sharded_server($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12))', dblink, als)
                    USING 'als_sharded_' || n, work, comment, als, types, by_user, by_item, summed, explicit, factors, seed, import;
            END LOOP;
            EXECUTE format('SELECT * FROM %I.als_sharded_postgres_fdw($1, $2, $3, $4, $5, $6, $7)', als) INTO plan
                USING work, als, types, servers, examples, copy, factors + explicit::integer;
        END IF;
        EXECUTE run INTO answers USING plan.setup, citus;

        EXECUTE plan.sums INTO sums USING answers;
        IF sums.ratings = 0 THEN
            EXECUTE format('SELECT %I::text AS "user", %I::text AS item, %I::float8 AS rating FROM %s'
                ' WHERE %3$I IS NULL OR NOT %3$I::float8 BETWEEN -3.5e38 AND 3.5e38 LIMIT 1', user_column, item_column, rating_column, ratings) INTO r;
            IF r.rating IS NULL THEN
                RAISE EXCEPTION 'column "%" of the ratings contains a null value', rating_column USING ERRCODE = 'null_value_not_allowed',
                    DETAIL = format('It is the rating of item %s by user %s; no rating is finite.', r.item, r."user"), HINT = 'Leave such rows out.';
            END IF;
            RAISE EXCEPTION 'column "%" of the ratings contains the value %', rating_column, r.rating USING ERRCODE = 'numeric_value_out_of_range',
                DETAIL = format('It is the rating of item %s by user %s; no rating is finite.', r.item, r."user"), HINT = 'Leave such rows out.';
        END IF;
        mean := sums.mean;
        deviation := sqrt(sums.squares / sums.ratings);
        EXECUTE settle INTO chosen USING feedback, factors, regularization, regularization_scaling, regularization_by, alpha, iterations, seed,
            sums.users, sums.items, sums.ratings, CASE sums.nonzero WHEN 0 THEN 1 ELSE (sums.roots / sums.nonzero) ^ 2 END,
            -- 1 if all are equal, but for rounding: train/choose.c
            CASE WHEN deviation <= 1e-12 * abs(mean) THEN 1 ELSE deviation END;
        EXECUTE run USING ARRAY(SELECT replace(s, '@parameters@', format('%s::float8, %s::float8, %s::float8, %s::float8', chosen.chosen_regularization,
            chosen.chosen_scaling, CASE WHEN explicit THEN 'NULL' ELSE chosen.chosen_alpha::text END, CASE WHEN explicit THEN mean::text ELSE 'NULL' END))
            FROM unnest(plan.prepare) s), citus;
        EXECUTE run USING plan.start, citus;
        FOR iteration IN 1 .. iterations LOOP
            EXECUTE run INTO answers USING plan.iterate, citus;
            EXECUTE plan.objective INTO latest USING answers;
            losses := losses || latest.loss;
            IF "verbose" THEN
                RAISE NOTICE 'iteration % of %: loss %', iteration, iterations, latest.loss;
            END IF;
        END LOOP;

        EXECUTE format('SELECT * FROM %I.als_import($1, $2, $3, $4, $5, $6, $7, NULL::text, NULL::jsonb, NULL::text, NULL::interval, NULL::timestamptz, NULL::text, $8, $9, $10, $11, $12, false, true, $13)', als)
            INTO trained USING format('%I.%I', target[1], target[2]),
            format('SELECT id AS user_id, %s FROM (%s) s', CASE WHEN explicit THEN format('f[:%s] AS factors, f[%s] AS bias', factors, factors + 1) ELSE 'f AS factors' END,
                   format(plan.solved, 'users')),
            format('SELECT id AS item_id, %s FROM (%s) s', CASE WHEN explicit THEN format('f[:%s] AS factors, f[%s] AS bias', factors, factors + 1) ELSE 'f AS factors' END,
                   format(plan.solved, 'items')),
            ratings::text, user_column, item_column, rating_column, feedback, chosen.chosen_regularization, chosen.chosen_scaling, regularization_by,
            CASE WHEN NOT explicit THEN chosen.chosen_alpha END, CASE WHEN explicit THEN mean END;
        EXECUTE format('UPDATE %I.%I SET iterations = $1, solver = ''cholesky'', seed = $2, ratings = $3, loss = $4, losses = $5, best_iteration = $1, seconds = $6'
            ' WHERE run = $7 RETURNING *', target[1], target[2])
            INTO trained USING iterations, seed, latest.ratings, latest.loss, losses, extract(epoch FROM clock_timestamp() - started), trained.run;
        EXECUTE run USING plan.emptied, citus;
        PERFORM set_config('client_min_messages', 'warning', true);
        EXECUTE format('DROP SCHEMA %I CASCADE', work);
        PERFORM set_config('client_min_messages', messages, true);
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        IF citus THEN
            EXECUTE format('SELECT * FROM run_command_on_coordinator(%L)', format('DROP SCHEMA IF EXISTS %I CASCADE', work));
        ELSE
            EXECUTE format(leave, dblink) USING format(clean, work);
        END IF;
        RAISE;
    END;

    -- A server drops its tables when this transaction lets them go, without anybody
    -- waiting for it.
    IF NOT citus THEN
        EXECUTE format(leave, dblink) USING format(clean, work);
    END IF;
    PERFORM set_config('search_path', path, true);
    RETURN trained;
END $$;
