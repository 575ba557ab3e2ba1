-- What runs here
SELECT library = default_version AS library, sql_objects = installed_version AS sql_objects
FROM als_version(), pg_available_extensions WHERE name = 'als';
SET als.kernels = 'reference';
SELECT kernels FROM als_version();
RESET als.kernels;
SELECT kernels IN ('generic', 'avx2', 'avx512') AS kernels FROM als_version();
-- a file, without links
SELECT blas ~ '^/.*blas' AS blas FROM als_version();
-- in parallel workers
SELECT proparallel, provolatile FROM pg_proc WHERE proname = 'als_version';
-- without the extension's row
BEGIN;
CREATE SCHEMA without;
DO $$ BEGIN EXECUTE replace(pg_get_functiondef('als_version'::regproc), 'public.', 'without.'); END $$;
SET client_min_messages = error;
DROP EXTENSION als CASCADE;
SELECT library IS NOT NULL AS library, sql_objects FROM without.als_version();
ROLLBACK;
