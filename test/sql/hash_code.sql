-- Ids whose hash and equality are functions of a user, which use models
-- themselves: nothing that is in use is freed or moved.
SET client_min_messages = warning;
CREATE SCHEMA hash_code;
SET search_path = hash_code, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 20, 39);
SELECT (als_train('other', 'ratings', factors => 8, iterations => 2)).run;
CREATE TYPE num;
CREATE FUNCTION num_in(cstring) RETURNS num IMMUTABLE STRICT LANGUAGE internal AS 'int4in';
CREATE FUNCTION num_out(num) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'int4out';
CREATE TYPE num (INPUT = num_in, OUTPUT = num_out, LIKE = int4);
CREATE CAST (num AS int4) WITHOUT FUNCTION;
CREATE CAST (int4 AS num) WITHOUT FUNCTION AS ASSIGNMENT;
-- uses other models, and the very one, as if each id needed that
CREATE FUNCTION busy() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('hash_code.busy', true) = 'on' THEN
        PERFORM set_config('hash_code.busy', 'off', false);
        PERFORM als_recommend('hash_code.other', 3);
        PERFORM als_similar_items('hash_code.other', 3);
        PERFORM als_recommend_as(NULL::hash_code.num, 'hash_code.model', 3::hash_code.num, 3, exclude_seen => false);
        PERFORM als_predict('hash_code.model', u::hash_code.num, 5::hash_code.num) FROM generate_series(1, 5) u;
        PERFORM set_config('hash_code.busy', 'on', false);
    END IF;
END $$;
CREATE FUNCTION num_eq(num, num) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM hash_code.busy(); RETURN $1::int4 = $2::int4; END $$;
CREATE FUNCTION num_lt(num, num) RETURNS boolean LANGUAGE sql AS $$ SELECT $1::int4 < $2::int4 $$;
CREATE FUNCTION num_le(num, num) RETURNS boolean LANGUAGE sql AS $$ SELECT $1::int4 <= $2::int4 $$;
CREATE FUNCTION num_gt(num, num) RETURNS boolean LANGUAGE sql AS $$ SELECT $1::int4 > $2::int4 $$;
CREATE FUNCTION num_ge(num, num) RETURNS boolean LANGUAGE sql AS $$ SELECT $1::int4 >= $2::int4 $$;
CREATE FUNCTION num_cmp(num, num) RETURNS int LANGUAGE sql AS $$ SELECT CASE WHEN $1::int4 < $2::int4 THEN -1 WHEN $1::int4 > $2::int4 THEN 1 ELSE 0 END $$;
CREATE FUNCTION num_hash(num) RETURNS int LANGUAGE sql AS $$ SELECT pg_catalog.hashint4($1::int4) $$;
CREATE FUNCTION num_hash64(num, int8) RETURNS int8 LANGUAGE plpgsql AS $$ BEGIN PERFORM hash_code.busy(); RETURN pg_catalog.hashint4extended($1::int4, $2); END $$;
CREATE OPERATOR = (FUNCTION = num_eq, LEFTARG = num, RIGHTARG = num, COMMUTATOR = =, HASHES, MERGES);
CREATE OPERATOR < (FUNCTION = num_lt, LEFTARG = num, RIGHTARG = num, COMMUTATOR = >);
CREATE OPERATOR <= (FUNCTION = num_le, LEFTARG = num, RIGHTARG = num, COMMUTATOR = >=);
CREATE OPERATOR > (FUNCTION = num_gt, LEFTARG = num, RIGHTARG = num, COMMUTATOR = <);
CREATE OPERATOR >= (FUNCTION = num_ge, LEFTARG = num, RIGHTARG = num, COMMUTATOR = <=);
CREATE OPERATOR CLASS num_ops DEFAULT FOR TYPE num USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 num_cmp(num, num);
CREATE OPERATOR CLASS num_hash_ops DEFAULT FOR TYPE num USING hash AS OPERATOR 1 =, FUNCTION 1 num_hash(num), FUNCTION 2 num_hash64(num, int8);
CREATE TABLE nums AS SELECT user_id::num, item_id::num, rating FROM ratings;
SELECT (als_train('model', 'nums', factors => 8, iterations => 2)).run;
CREATE FUNCTION answers() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT 'predict ' || als_predict('model', u::num, i::num) FROM generate_series(1, 3) u, generate_series(1, 3) i
    UNION ALL
    SELECT 'recommend ' || r FROM als_recommend_as(NULL::num, 'model', 2::num, 3, exclude => ARRAY[1, 2]::num[]) r
    UNION ALL
    SELECT 'recommend_for ' || r FROM als_recommend_for_as(NULL::num, 'model', ARRAY[1, 7]::num[], k => 3) r
    UNION ALL
    SELECT 'recommend_all ' || r FROM als_recommend_all_as(NULL::num, NULL::num, 'model', 2, users => ARRAY[1]::num[]) r
    UNION ALL
    SELECT 'similar ' || r FROM als_similar_items_as(NULL::num, 'model', 5::num, 3) r
    UNION ALL
    SELECT 'explain ' || r FROM als_explain_as(NULL::num, 'model', 5::num, 3::num, 3) r
    UNION ALL
    SELECT 'fold_in ' || als_fold_in('model', ARRAY[1, 7]::num[])::text
$$;
CREATE TABLE quiet AS SELECT * FROM answers() a;
SELECT count(*) FROM quiet;
-- a session that has nothing yet, with room for little, and for all
\c -
SET search_path = hash_code, public;
SET hash_code.busy = 'on';
SET als.cache_size = '64kB';
SELECT count(*) FROM answers() a JOIN quiet q ON a.a = q.a;
RESET als.cache_size;
SELECT count(*) FROM answers() a JOIN quiet q ON a.a = q.a;
SELECT count(*) FROM answers() a JOIN quiet q ON a.a = q.a;
SET hash_code.busy = 'off';
SELECT count(*) FROM answers() a JOIN quiet q ON a.a = q.a;
SET client_min_messages = warning;
DROP SCHEMA hash_code CASCADE;
