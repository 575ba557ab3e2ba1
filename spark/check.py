"""Trains with Spark for real and compares with als: what scripts/check-spark.sh runs.

Every line that begins with "ok" or "not ok" is a test; the figures behind them are
what docs/scale.md has.
"""

from __future__ import annotations

import gzip
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import psycopg
import pyarrow
import pyarrow.parquet
import pyspark

import als_train

TOP = Path(__file__).resolve().parent.parent
LOCAL, CLUSTER = "local[2]", "local-cluster[2,1,1024]"
failed = 0


def ok(passed: bool, what: str) -> None:
    global failed
    failed += not passed
    print("ok" if passed else "not ok", what, sep=" - ", flush=True)


def command(master: str, *arguments: str) -> list[str]:
    return ["spark-submit", "--master", master, "--conf", "spark.ui.enabled=false",
            "--conf", "spark.sql.shuffle.partitions=8", "--conf", "spark.log.level=OFF",
            "--jars", os.environ["ALS_JDBC"], str(TOP / "spark/als_train.py"), "--blocks", "4", *arguments]


def spark(master: str, *arguments: str) -> tuple[int, str, float]:
    """Runs the job: exit status, what it said, seconds."""
    started = time.monotonic()
    done = subprocess.run(command(master, *arguments), capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if re.match(r"model |als_train", line)]
    if done.returncode != 0 and not said:
        said = [done.stderr[-2000:]]
    return done.returncode, " ".join(said), time.monotonic() - started


def query(db: psycopg.Connection, text: str, *parameters: object) -> list[tuple]:
    return db.execute(text, parameters or None).fetchall()


def factors(db: psycopg.Connection, model: str, side: str) -> tuple[dict, np.ndarray]:
    rows = query(db, f"SELECT {side}_id, factors FROM {model}_{side}s ORDER BY 1")
    return {row[0]: place for place, row in enumerate(rows)}, np.array([row[1] for row in rows], float)


def objective(db: psycopg.Connection, model: str, ratings: list[tuple], feedback: str,
              regularization: float, alpha: float) -> float:
    """MLlib's objective of the factors of a model, in double precision."""
    (users, x), (items, y) = (factors(db, model, side) for side in ("user", "item"))
    u = np.array([users[row[0]] for row in ratings])
    i = np.array([items[row[1]] for row in ratings])
    r = np.array([row[2] for row in ratings], float)
    scores = np.concatenate([np.einsum("kf,kf->k", x[a], y[b]) for a, b in
                             zip(np.array_split(u, 64), np.array_split(i, 64))])
    counted = (r > 0) | (feedback == "explicit")
    penalty = sum(np.bincount(places, counted, len(f)) @ (f ** 2).sum(1) for places, f in ((u, x), (i, y)))
    if feedback == "explicit":
        errors = ((r - scores) ** 2).sum()
    else:
        errors = ((x.T @ x) * (y.T @ y)).sum() + ((1 + alpha * abs(r)) * ((r > 0) - scores) ** 2 - scores ** 2).sum()
    return errors + regularization * penalty


def overlap(db: psycopg.Connection, one: str, other: str) -> float:
    """The share of the ten recommendations of a user that two models have in common."""
    return query(db, f"""
        WITH a AS (SELECT user_id, item_id FROM als_recommend_all_as(NULL::text, NULL::text, '{one}', 10)),
             b AS (SELECT user_id, item_id FROM als_recommend_all_as(NULL::text, NULL::text, '{other}', 10))
        SELECT (SELECT count(*) FROM a JOIN b USING (user_id, item_id))::float8 / (SELECT count(*) FROM a)""")[0][0]


def folded(db: psycopg.Connection, model: str, ratings: str, user: str, item: str, rating: str) -> float:
    """How far als is from MLlib's factors of a user whom it solves anew, at most."""
    return query(db, f"""
        WITH solved AS (SELECT {user} AS user_id, als_fold_in('{model}', array_agg({item}), array_agg(({rating})::float8)) AS f
                        FROM {ratings} GROUP BY 1 ORDER BY md5({user}::text) LIMIT 500)
        SELECT max((SELECT sqrt(sum((a - b) ^ 2) / nullif(sum(b ^ 2), 0)) FROM unnest(f[:cardinality(factors)], factors) AS v (a, b)))
        FROM solved JOIN {model}_users USING (user_id)""")[0][0]


def compare(db: psycopg.Connection, title: str, master: str, ratings: str, user: str, item: str, rating: str | None,
            feedback: str = "implicit", rank: int = 32, regularization: float = 0.1, alpha: float = 1,
            iterations: int = 10, extra: tuple[str, ...] = ()) -> None:
    """Spark and als minimize one objective from different starts, random ones as MLlib's."""
    print(f"\n{title}, {feedback}, {master}: {rank} factors, regularization {regularization}, "
          f"alpha {alpha}, {iterations} iterations", flush=True)
    db.execute("DROP TABLE IF EXISTS of_spark, of_als, of_als_again, as_usual")
    status, said, seconds = spark(
        master, "--model", "of_spark", "--ratings", ratings, "--user-column", user, "--item-column", item,
        "--rating-column", rating or "", "--feedback", feedback, "--factors", str(rank), "--regularization",
        str(regularization), "--alpha", str(alpha), "--iterations", str(iterations), *extra)
    ok(status == 0, f"{said} in {seconds:.0f} s")
    if status != 0:
        return
    losses = {}
    for model, seed in (("of_als", 1), ("of_als_again", 2), ("as_usual", None)):
        if seed:
            start = f"SELECT {{0}} AS {{1}}_id, als_starting_factors({{0}}, {rank}, {seed}) AS factors FROM {ratings} GROUP BY {{0}}"
            db.execute("SELECT als_import(%s, %s, %s, feedback => %s, biases => %s)",
                       (model, start.format(user, "user"), start.format(item, "item"), feedback, feedback == "implicit"))
        losses[model] = query(db, """SELECT loss FROM als_train(%s, %s, user_column => %s, item_column => %s, rating_column => %s,
            feedback => %s, factors => %s, regularization => %s, regularization_scaling => 1, regularization_by => 'ratings',
            alpha => %s, biases => %s, iterations => %s, solver => 'cholesky', warm_start => %s)""",
            model, ratings, user, item, rating, feedback, rank, regularization, alpha, feedback == "implicit",
            iterations, seed is not None)[0][0]
    rows = query(db, f"SELECT {user}, {item}, {rating or '1'} FROM {ratings}")
    own, theirs = (objective(db, model, rows, feedback, regularization, alpha) for model in ("of_als", "of_spark"))
    ok(abs(own / losses["of_als"] - 1) < 1e-5, f"the loss of als is MLlib's objective: {losses['of_als']:.1f}, in double {own:.1f}")
    again, usual = (100 * (losses[model] / losses["of_als"] - 1) for model in ("of_als_again", "as_usual"))
    ok(abs(theirs / own - 1) < 0.01, f"the loss of Spark's factors: {theirs:.1f}, {100 * (theirs / own - 1):+.3f} % "
       f"(als from another start: {again:+.3f} %, from the one that als_train chooses: {usual:+.3f} %)")
    worst = folded(db, "of_spark", ratings, user, item, rating or "1")
    ok(worst < 1e-4, f"als solves Spark's users as Spark does: 500 differ by {worst:.1e} at most")
    both, starts = overlap(db, "of_spark", "of_als"), overlap(db, "of_als_again", "of_als")
    ok(both > 0.85 * starts, f"of ten recommendations {10 * both:.2f} are those of als (als from another start: {10 * starts:.2f})")


def staging(db: psycopg.Connection) -> int:
    return query(db, "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_spark\\_%s' AND relkind = 'r'")[0][0]


def rest(db: psycopg.Connection) -> None:
    """Ids of other types, Parquet, and what goes wrong."""
    print("\nIds, Parquet and errors, local[2]", flush=True)
    db.execute("""
        CREATE TABLE small AS SELECT md5(u::text)::uuid AS "User", E'a\\t\\\\"''\\n' || i AS item_id, 1 + (u * i) % 4 AS rating
            FROM generate_series(1, 60) u, generate_series(1, 50) i WHERE (u * 7 + i * 3) % 5 < 2;
        CREATE TABLE big AS SELECT 5000000000 + dense_rank() OVER (ORDER BY "User") AS user_id,
            -dense_rank() OVER (ORDER BY item_id)::int AS item_id, rating FROM small""")
    small = ("--factors", "4", "--iterations", "2")
    status, said, _ = spark(LOCAL, "--model", '"Of Small"', "--ratings", "small", "--user-column", "User", *small)
    ok(status == 0 and query(db, """
        SELECT (SELECT count(*) FROM "Of Small_users" JOIN (SELECT DISTINCT "User" AS user_id FROM small) s USING (user_id)),
               (SELECT count(*) FROM "Of Small_items" JOIN (SELECT DISTINCT item_id FROM small) s USING (item_id))""") == [(60, 50)],
       f"ids of types uuid and text, with what COPY escapes: {said}")
    # as many iterations as there may be without a checkpoint
    status, said, _ = spark(LOCAL, "--model", "big_of", "--ratings", "SELECT * FROM big", "--factors", "4",
                            "--feedback", "explicit", "--iterations", str(als_train.MOST_ITERATIONS))
    ok(status == 0, f"{als_train.MOST_ITERATIONS} iterations: {said}")
    db.execute("DROP TABLE big_of")
    status, said, _ = spark(LOCAL, "--model", "big_of", "--ratings", "SELECT * FROM big", *small)
    ok(status == 0 and folded(db, "big_of", "big", "user_id", "item_id", "rating") < 1e-4, f"bigint, and negative: {said}")

    # as long as transactions come and go, snapshots of different moments differ
    stop = threading.Event()

    def transactions() -> None:
        with psycopg.connect(autocommit=True) as busy:
            while not stop.wait(0.01):
                busy.execute("SELECT pg_current_xact_id()")

    thread = threading.Thread(target=transactions)
    thread.start()
    status, said, _ = spark(LOCAL, "--model", "of_snapshot", "--partitions", "4", "--ratings",
                            "SELECT user_id, pg_current_snapshot()::text AS item_id, rating FROM big", *small)
    stop.set()
    thread.join()
    ok(status == 0 and said.endswith(": 60 users, 1 items"), f"all connections read one snapshot: {said}")

    table = pyarrow.table({name: list(values) for name, values in zip(
        ("user_id", "item_id", "rating"), zip(*query(db, 'SELECT "User"::text, item_id, rating::float4 FROM small')))})
    path = Path(os.environ["ALS_SCRATCH"]) / "ratings.parquet"
    pyarrow.parquet.write_table(table, path)
    status, said, _ = spark(LOCAL, "--model", "of_parquet", "--parquet", str(path), "--user-type", "uuid", "--nonnegative", *small)
    ok(status == 0 and query(db, "SELECT count(*), min(least((SELECT min(f) FROM unnest(factors) f), 0)), pg_typeof(min(user_id::text)::uuid)::text "
                             "FROM of_parquet_users") == [(60, 0, "uuid")], f"from Parquet, nonnegative: {said}")

    def fails(what: str, expected: str, *arguments: str) -> None:
        before = query(db, "SELECT run, (SELECT md5(string_agg(u::text, '' ORDER BY u.user_id)) FROM big_of_users u) FROM big_of")
        status, said, _ = spark(LOCAL, "--model", "big_of", *small, *arguments)
        after = query(db, "SELECT run, (SELECT md5(string_agg(u::text, '' ORDER BY u.user_id)) FROM big_of_users u) FROM big_of")
        ok(status != 0 and expected in said and before == after and staging(db) == 0, f"{what}, the old model stays: {said}")

    fails("a wrong column", 'column "film" does not exist in the ratings, which have user_id, item_id, rating',
          "--ratings", "big", "--item-column", "film")
    fails("a null", "not a rating (user, item, rating): null, ", "--ratings",
          "SELECT nullif(user_id, 5000000007) AS user_id, item_id, rating FROM big")
    fails("an error of the query", "division by zero", "--ratings", "SELECT user_id, item_id, 1 / (item_id + 7) AS rating FROM big")
    fails("ids of another type", "user ids", "--ratings", "SELECT user_id::text, item_id, rating FROM big")
    status, said, _ = spark(LOCAL, "--model", "small", "--ratings", "big", *small)
    ok(status != 0 and "small" in said and staging(db) == 0, f"a name that is taken: {said}")

    # killed while it waits to swap: the staging tables stay, and go the next time
    with psycopg.connect() as holder:
        holder.execute("LOCK TABLE big_of, big_of_users IN ACCESS SHARE MODE")
        holder.execute("LOCK TABLE big_of IN SHARE ROW EXCLUSIVE MODE")
        job = subprocess.Popen(command(LOCAL, "--model", "big_of", "--ratings", "big", *small),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM als_import(%' AND pid <> pg_backend_pid()"
        while query(db, waits + " AND wait_event_type = 'Lock'")[0][0] == 0 and job.poll() is None:
            time.sleep(0.1)
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    while query(db, waits + " AND state <> 'idle'")[0][0] > 0:
        time.sleep(0.1)
    left = staging(db)
    ok(left == 2 and query(db, "SELECT count(*) FROM big_of")[0][0] == 1, f"a job killed before its end leaves {left} staging tables, and the old model")
    status, said, _ = spark(LOCAL, "--model", "big_of", "--ratings", "big", *small)
    ok(status == 0 and staging(db) == 0, f"the next removes them: {said}")


def page(name: str, heading: str) -> str:
    """The first block of Python under a heading of a page."""
    text = (TOP / "docs" / name).read_text()
    return re.search(rf"^## {re.escape(heading)}$.*?^```python\n(.*?)^```", text, re.M | re.S).group(1)


def documented(db: psycopg.Connection) -> None:
    """What the pages say in Python does what they say; and the numbers of ids."""
    from pyspark.ml.recommendation import ALS, ALSModel
    from pyspark.sql import SparkSession

    print("\nThe pages' Python", flush=True)
    scratch = Path(os.environ["ALS_SCRATCH"]) / "pages"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    os.chdir(scratch)
    session = SparkSession.builder.master(LOCAL).config("spark.ui.enabled", "false").config("spark.log.level", "OFF").config(
        "spark.sql.shuffle.partitions", "8").getOrCreate()
    db.execute("CREATE TABLE ratings AS SELECT (user_id - 5000000000)::int AS user_id, -item_id AS movie_id, rating FROM big")
    frame = session.createDataFrame(query(db, "SELECT user_id, movie_id, rating FROM ratings"), "user_id int, movie_id int, rating int")
    als = ALS(rank=8, maxIter=5, regParam=0.1, implicitPrefs=True, alpha=2.0, userCol="user_id", itemCol="movie_id", ratingCol="rating")
    als.fit(frame).save("movie_model")
    exec(page("from-spark.md", "A trained model, brought along"), {"spark": session})
    predictions = ALSModel.load("movie_model").transform(frame).select("user_id", "movie_id", "prediction").collect()
    db.execute("CREATE TABLE predictions (u int, i int, p real)")
    with db.cursor() as cursor, cursor.copy("COPY predictions FROM STDIN") as copy:
        for row in predictions:
            copy.write_row(row)
    worst = query(db, "SELECT max(abs(p - als_predict('movie_als', u, i))) FROM predictions")[0][0]
    ok(worst < 1e-5, f"docs/from-spark.md: {len(predictions)} scores differ by {worst:.1e} at most")
    worst = folded(db, "movie_als", "ratings", "user_id", "movie_id", "rating")
    ok(worst < 1e-4, f"docs/from-spark.md: users are folded in as Spark solves them, to {worst:.1e}")

    ids = session.range(1000, numPartitions=7).selectExpr("cast(999 - id AS string) AS user")
    numbers = {row.id: row.number for row in als_train.number_ids(ids.unionAll(ids), "user").collect()}
    ok(numbers == {id: place for place, id in enumerate(sorted(map(str, range(1000))))}, "ids are numbered in their order")
    als_train.MOST_IDS = 999
    try:
        als_train.number_ids(ids, "user")
        ok(False, "too many ids")
    except als_train.Failure as failure:
        ok(str(failure) == "1000 different users are more than the 999 that MLlib can number", f"too many ids: {failure}")
    session.stop()

    exec(page("guide.md", "Taking factors elsewhere"))
    stored = query(db, "SELECT user_id, factors FROM movie_als_users ORDER BY user_id")
    loaded = np.load("movie_als_users.npz")
    order = loaded["ids"].argsort()
    ok(loaded["ids"][order].tolist() == [row[0] for row in stored]
       and np.array_equal(loaded["factors"][order], np.array([row[1] for row in stored], np.float32)), "docs/guide.md: numpy has the factors, bit for bit")
    ok(pyarrow.parquet.read_table("movie_als_users.parquet").sort_by("user_id").to_pylist()
       == [{"user_id": row[0], "factors": np.array(row[1], np.float32).tolist()} for row in stored], "docs/guide.md: Parquet has them too")


def movielens(db: psycopg.Connection, path: Path) -> None:
    db.execute("CREATE TABLE movielens (user_id int, item_id int, rating real, PRIMARY KEY (user_id, item_id))")
    with gzip.open(path, "rt") as lines, db.cursor() as cursor, cursor.copy("COPY movielens FROM STDIN") as copy:
        for line in lines:
            copy.write_row(line.split("::")[:3])


def main() -> None:
    db = psycopg.connect(autocommit=True)
    java = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.splitlines()[0]
    with zipfile.ZipFile(os.environ["ALS_JDBC"]) as jar:
        driver = re.search(r"^Implementation-Version: (\S+)", jar.read("META-INF/MANIFEST.MF").decode(), re.M).group(1)
    print(f"Spark {pyspark.__version__}, {java}, JDBC driver {driver}, "
          f"Python {platform.python_version()}, PostgreSQL {query(db, 'SHOW server_version')[0][0]}", flush=True)
    db.execute("CREATE EXTENSION als; CREATE TABLE demo (package text, dependency text)")
    with gzip.open(TOP / "demo/debian-packages.tsv.gz") as lines, db.cursor() as cursor, cursor.copy("COPY demo FROM STDIN") as copy:
        copy.write(lines.read())
    data = Path(os.environ["ALS_SHARED"]) / "data/ml-1m/ratings.dat.gz"
    rest(db)
    documented(db)
    for master in (LOCAL, CLUSTER):
        compare(db, "The demo's data", master, "demo", "package", "dependency", None)
    if data.exists():
        movielens(db, data)
        compare(db, "MovieLens-1M", CLUSTER, "movielens", "user_id", "item_id", "rating", alpha=2)
        # MLlib, from random users, takes more iterations than als from random items
        compare(db, "MovieLens-1M", LOCAL, "movielens", "user_id", "item_id", "rating", "explicit",
                regularization=0.05, iterations=30, extra=("--checkpoint", os.environ["ALS_SCRATCH"] + "/checkpoints"))
    else:
        print(f"\nMovieLens-1M is not in {data.parent}: skipped")
    print(f"\n{failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
