\set ECHO none
-- All factors of a model; floats are written with as many digits as tell them apart.
CREATE FUNCTION factors_of(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT md5((SELECT string_agg(u::text, '','' ORDER BY user_id) FROM %I u)
                            || (SELECT string_agg(i::text, '','' ORDER BY item_id) FROM %I i))',
                   model || '_users', model || '_items') INTO result;
    RETURN result;
END $$;
-- And what its newest run has measured.
CREATE FUNCTION fingerprint(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    measured text;
BEGIN
    EXECUTE format('SELECT (losses, validation_curve, best_iteration)::text FROM %I ORDER BY run DESC LIMIT 1', model) INTO measured;
    RETURN factors_of(model) || measured;
END $$;
\set ECHO all
