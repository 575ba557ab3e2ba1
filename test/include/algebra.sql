\set ECHO none
CREATE FUNCTION dot(a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE
AS 'SELECT sum(x * y) FROM unnest(a, b) AS s(x, y)';
-- How far a is from b, as a share of b; null if they differ in length
CREATE FUNCTION distance(a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS
    'SELECT CASE WHEN cardinality(a) = cardinality(b) THEN sqrt(sum((x - y) ^ 2) / sum(y ^ 2)) END FROM unnest(a, b) AS s(x, y)';
-- Solves a x = b by Gaussian elimination with pivoting.
CREATE FUNCTION solve(a float8[], b float8[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    n int := cardinality(b);
    pivot int;
    swap float8;
    factor float8;
BEGIN
    FOR c IN 1 .. n LOOP
        pivot := c;
        FOR r IN c + 1 .. n LOOP
            IF abs(a[r][c]) > abs(a[pivot][c]) THEN
                pivot := r;
            END IF;
        END LOOP;
        IF pivot <> c THEN
            FOR j IN c .. n LOOP
                swap := a[c][j]; a[c][j] := a[pivot][j]; a[pivot][j] := swap;
            END LOOP;
            swap := b[c]; b[c] := b[pivot]; b[pivot] := swap;
        END IF;
        FOR r IN c + 1 .. n LOOP
            factor := a[r][c] / a[c][c];
            FOR j IN c .. n LOOP
                a[r][j] := a[r][j] - factor * a[c][j];
            END LOOP;
            b[r] := b[r] - factor * b[c];
        END LOOP;
    END LOOP;
    FOR c IN REVERSE n .. 1 LOOP
        FOR j IN c + 1 .. n LOOP
            b[c] := b[c] - a[c][j] * b[j];
        END LOOP;
        b[c] := b[c] / a[c][c];
    END LOOP;
    RETURN b;
END $$;
\set ECHO all
