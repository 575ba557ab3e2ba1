"""Trains a model of als with Spark, and serves it from PostgreSQL.

    spark-submit --jars postgresql.jar spark/als_train.py --model movie_als \\
        --ratings ratings --item-column movie_id --factors 64 --regularization 0.1

Reads ratings from PostgreSQL, or Parquet, trains MLlib's ALS, copies the factors
into staging tables by several connections at once, and calls als_import in one
transaction: a job that fails leaves the model as it was.

How to connect is libpq's to know: PGHOST, PGUSER, PGPASSWORD, ~/.pgpass and so on,
on the machine of the driver.  The executors need psycopg.

The objective is MLlib's, which multiplies the regularization of a row by the number
of its ratings (with implicit feedback: those above 0), and has no biases: to als,
regularization_scaling => 1, regularization_by => 'ratings', biases => false.
docs/from-spark.md has more.
"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable, Iterable

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from py4j.protocol import Py4JJavaError
from pyspark import TaskContext
from pyspark.errors import PySparkException
from pyspark.ml.recommendation import ALS
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

MOST_IDS = 2**31 - 1  # MLlib's ids are of type Int
MOST_ITERATIONS = 15  # beyond, what MLlib makes of them may outgrow Java's stack, and take the driver along
SIDES = ("user", "item")

INTEGERS = ("smallint", "integer", "bigint")
OF_PARQUET = {"tinyint": "smallint", "smallint": "smallint", "int": "integer",
              "bigint": "bigint"}


class Failure(Exception):
    """What the user can do something about."""


@dataclass
class Source:
    """Ratings in PostgreSQL, as they are read and as als_import is told."""

    relation: sql.Composable  # behind FROM
    columns: dict[str, str]  # user, item, rating: names; rating may be ''
    types: dict[str, str]  # user, item: types as SQL has them


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, help="name, quoted and qualified as in SQL")
    add("--ratings", help="relation or SELECT in PostgreSQL; with --parquet: where live ratings are later")
    add("--parquet", help="read the ratings from this path instead")
    add("--user-column", default="user_id")
    add("--item-column", default="item_id")
    add("--rating-column", default="rating", help="'': every row counts 1")
    add("--user-type", help="type in PostgreSQL of the users' ids from Parquet, for example uuid")
    add("--item-type")
    add("--feedback", choices=("implicit", "explicit"), default="implicit")
    add("--factors", type=int, default=100)
    add("--regularization", type=float, default=0.1, help="times the number of a row's ratings")
    add("--alpha", type=float, default=1.0, help="implicit only")
    add("--iterations", type=int, default=15)
    add("--nonnegative", action="store_true")
    add("--seed", type=int, default=42)
    add("--dsn", default="", help="what libpq's environment does not say, but never a password")
    add("--partitions", type=int, help="connections that read; default: as many as Spark has cores")
    add("--connections", type=int, default=4, help="connections that write")
    add("--blocks", type=int, default=10, help="blocks of users and of items that MLlib makes")
    add("--checkpoint", help="directory that driver and executors share, where MLlib "
        f"saves factors every ten iterations; needed for more than {MOST_ITERATIONS}")
    args = parser.parse_args()
    if not args.ratings and not args.parquet:
        parser.error("--ratings or --parquet is needed: nothing says where the ratings are")
    if args.iterations > MOST_ITERATIONS and not args.checkpoint:
        parser.error(f"more than {MOST_ITERATIONS} iterations need --checkpoint, a directory that driver and executors share")
    if "password" in conninfo_to_dict(args.dsn):
        parser.error("--dsn must not have a password, which others could see: "
                     "use PGPASSWORD or a password file")
    return args


# Connecting

def value(connection: psycopg.Connection, query: str, *parameters: object) -> Any:
    """Of a query's only row and column."""
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def connection_parameters(connection: psycopg.Connection) -> dict[str, Any]:
    """What executors connect by, to the server that the driver has found."""
    info = connection.info
    if info.host.startswith("/"):
        raise Failure(f"the server is reached by a socket in {info.host}, which executors do "
                      "not have: set PGHOST to a name or address")
    ours = {"host": info.host, "port": info.port, "user": info.user, "dbname": info.dbname,
            **({"password": info.password} if info.password else {})}
    # files of the driver's machine are not the executors'
    return {name: value for name, value in info.get_parameters().items()
            if name not in ("service", "passfile")} | ours


def jdbc_properties(parameters: dict[str, Any]) -> dict[str, str]:
    names = ("user", "password", "options", "sslmode", "sslrootcert", "sslcert", "sslkey")
    return {"driver": "org.postgresql.Driver", "fetchsize": "10000",
            **{name: str(parameters[name]) for name in names if name in parameters}}


# Ratings

def describe(connection: psycopg.Connection, args: argparse.Namespace) -> Source:
    """Where the ratings are in PostgreSQL; raises if a column is missing."""
    is_query = re.match(r"[\s(]*(select|with|values|table)\b", args.ratings, re.IGNORECASE)
    text = sql.SQL(args.ratings)
    relation = sql.SQL("({}) AS ratings").format(text) if is_query else text
    columns = {"user": args.user_column, "item": args.item_column, "rating": args.rating_column}
    cursor = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(relation))
    found = {column.name: column for column in cursor.description or ()}
    for what, name in columns.items():
        if name not in found and (what != "rating" or name):
            raise Failure(f'column "{name}" does not exist in the ratings, which have '
                          f"{', '.join(found)}: name it with --{what}-column")
    types = {side: value(connection, "SELECT format_type(%s, NULL)", found[columns[side]].type_code)
             for side in SIDES}
    return Source(relation, columns, types)


def read_postgres(spark: SparkSession, parameters: dict[str, Any], stack: ExitStack,
                  source: Source, partitions: int) -> DataFrame:
    """Ratings in so many partitions, all of one snapshot, which the stack holds."""
    holder = stack.enter_context(psycopg.connect(**parameters, autocommit=True))
    holder.execute("SET idle_in_transaction_session_timeout = 0")
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    snapshot = value(holder, "SELECT pg_export_snapshot()")

    def column(what: str) -> sql.Composable:
        name = sql.Identifier(source.columns[what]) if source.columns[what] else sql.SQL("1")
        cast = "float4" if what == "rating" else "int8" if source.types[what] in INTEGERS else "text"
        return sql.SQL("{}::pg_catalog.{} AS {}").format(name, sql.SQL(cast), sql.Identifier(what))

    query = sql.SQL("(SELECT {} FROM {}) AS ratings").format(
        sql.SQL(", ").join(map(column, ("user", "item", "rating"))), source.relation)
    hashed = 'hashint8("user")' if source.types["user"] in INTEGERS else 'hashtext("user")'
    parts = [f"(pg_catalog.{hashed} & 2147483647) % {partitions} = {part}" for part in range(partitions)]
    parts[0] += ' OR "user" IS NULL'  # which is to be an error rather than missing
    host = f"[{parameters['host']}]" if ":" in parameters["host"] else parameters["host"]
    return spark.read.jdbc(
        f"jdbc:postgresql://{host}:{parameters['port']}/{parameters['dbname']}",
        query.as_string(holder), predicates=parts,
        properties=jdbc_properties(parameters) | {
            "sessionInitStatement": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; "
                                    f"SET TRANSACTION SNAPSHOT '{snapshot}'"})


def read_parquet(spark: SparkSession, args: argparse.Namespace) -> tuple[DataFrame, dict[str, str]]:
    """Ratings, and the types that their ids have in PostgreSQL."""
    frame = spark.read.parquet(args.parquet)
    found = dict(frame.dtypes)
    columns = {"user": args.user_column, "item": args.item_column, "rating": args.rating_column}
    for what, name in columns.items():
        if name not in found and (what != "rating" or name):
            raise Failure(f'column "{name}" does not exist in {args.parquet}, which has '
                          f"{', '.join(found)}: name it with --{what}-column")
    types = {side: getattr(args, f"{side}_type") or OF_PARQUET.get(found[columns[side]], "text")
             for side in SIDES}

    def column(what: str) -> Column:
        if what == "rating":
            return (F.col(f"`{columns[what]}`") if columns[what] else F.lit(1)).cast("float").alias(what)
        return F.col(f"`{columns[what]}`").cast("bigint" if types[what] in INTEGERS else "string").alias(what)

    return frame.select(*map(column, ("user", "item", "rating"))), types


def checked(ratings: DataFrame, feedback: str) -> DataFrame:
    """One rating for each pair, as als merges them; a row that is none is an error."""
    shown = F.concat_ws(", ", *(F.coalesce(F.col(c).cast("string"), F.lit("null")) for c in ratings.columns))
    bad = (F.isnull("user") | F.isnull("item") | F.isnull("rating") | F.isnan("rating")
           | (F.abs("rating") == float("inf")))
    message = F.concat(F.lit("not a rating (user, item, rating): "), shown,
                       F.lit("; leave such rows out with a SELECT"))
    merge = F.sum if feedback == "implicit" else F.avg
    return (ratings.withColumn("rating", F.when(bad, F.raise_error(message)).otherwise(F.col("rating")))
            .groupBy("user", "item").agg(merge("rating").cast("float").alias("rating")))


# Ids

def number_ids(ratings: DataFrame, side: str) -> DataFrame:
    """(id, number): places in ascending order, hence the same for the same ids."""
    ordered = (ratings.select(F.col(side).alias("id")).distinct().orderBy("id")
               .withColumn("partition", F.spark_partition_id())
               .withColumn("place", F.monotonically_increasing_id()).persist())
    counts = ordered.groupBy("partition").count().orderBy("partition").collect()
    total = sum(row["count"] for row in counts)
    if total > MOST_IDS:
        raise Failure(f"{total} different {side}s are more than the {MOST_IDS} that MLlib can number")
    starts, start = [], 0
    for row in counts:
        starts += [F.lit(row["partition"]), F.lit(start)]
        start += row["count"]
    place = F.col("place").bitwiseAND(F.lit(2**33 - 1))  # within its partition
    offset = F.create_map(*starts)[F.col("partition")] if starts else F.lit(0)
    return ordered.select("id", (place + offset).cast("int").alias("number"))


def train(args: argparse.Namespace, ratings: DataFrame, types: dict[str, str]) -> dict[str, DataFrame]:
    """By side: (id, factors), the factors as PostgreSQL writes an array."""
    maps = {side: None if types[side] in ("smallint", "integer") else number_ids(ratings, side)
            for side in SIDES}
    numbered = ratings
    for side, ids in maps.items():
        if ids is not None:
            numbered = numbered.join(ids.withColumnsRenamed({"id": side, "number": f"{side}_number"}), side)
        else:
            numbered = numbered.withColumn(f"{side}_number", F.col(side).cast("int"))
    model = ALS(rank=args.factors, regParam=args.regularization, alpha=args.alpha,
                maxIter=args.iterations, implicitPrefs=args.feedback == "implicit",
                nonnegative=args.nonnegative, seed=args.seed, userCol="user_number",
                itemCol="item_number", ratingCol="rating", numUserBlocks=args.blocks,
                numItemBlocks=args.blocks).fit(numbered)
    factors = {}
    for side, frame in (("user", model.userFactors), ("item", model.itemFactors)):
        ids = maps[side]
        if ids is not None:
            frame = frame.withColumnRenamed("id", "number").join(ids, "number")
        array = F.concat(F.lit("{"), F.concat_ws(",", F.col("features").cast("array<string>")), F.lit("}"))
        factors[side] = frame.select("id", array.alias("factors"))
    return factors


# Staging tables

def staging_tables(connection: psycopg.Connection, model: str) -> dict[str, sql.Identifier]:
    """Their names, by side; those of an earlier job that died are dropped."""
    parts = value(connection, "SELECT parse_ident(%s)", model)
    schema = parts[-2] if len(parts) > 1 else value(
        connection, "SELECT coalesce((SELECT relnamespace::regnamespace::name FROM pg_class "
        "WHERE oid = to_regclass(%s)), current_schema())", model)
    if not value(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))",
                 f"als_train.py {schema}.{parts[-1]}"):
        raise Failure(f"another job trains model {model}: wait for its end")
    tables = {}
    for side in SIDES:
        prefix = parts[-1].encode()[:40].decode(errors="ignore")  # names have at most 63 bytes
        tables[side] = sql.Identifier(schema, f"{prefix}_spark_{side}s")
        name = tables[side].as_string(connection)
        ours = value(connection, "SELECT obj_description(oid, 'pg_class') IS NOT DISTINCT FROM %s "
                     "FROM pg_class WHERE oid = to_regclass(%s)", staging_comment(model), name)
        if ours is False:
            raise Failure(f"{name} is in the way of a staging table: rename it")
    drop(connection, tables)
    return tables


def staging_comment(model: str) -> str:
    return f"factors of als_train.py on their way to model {model}"


def drop(connection: psycopg.Connection, tables: dict[str, sql.Identifier]) -> None:
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.SQL(", ").join(tables.values())))


def copy_rows(parameters: dict[str, Any], table: str, columns: str) -> Callable[[Iterable[Any]], None]:
    """Copies a partition by a connection of its own; another attempt replaces it."""
    def copy_partition(rows: Iterable[Any]) -> None:
        context = TaskContext.get()
        assert context
        part = context.partitionId()
        with psycopg.connect(**parameters) as connection, connection.cursor() as cursor:
            # whichever attempt this is: a stage that runs again counts from 0
            cursor.execute(f"DELETE FROM {table} WHERE part = %s", [part])
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row((part, row[0], row[1]))
    return copy_partition


def write(connection: psycopg.Connection, parameters: dict[str, Any], args: argparse.Namespace,
          tables: dict[str, sql.Identifier], factors: dict[str, DataFrame], types: dict[str, str]) -> None:
    for side, table in tables.items():
        id_column = f"{side}_id"
        with connection.transaction():
            connection.execute(sql.SQL("CREATE UNLOGGED TABLE {} (part int, {} {}, factors real[])").format(
                table, sql.Identifier(id_column), sql.SQL(types[side])))
            connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, staging_comment(args.model)))
        factors[side].repartition(args.connections).rdd.foreachPartition(
            copy_rows(parameters, table.as_string(connection), f"part, {id_column}, factors"))


def take_over(connection: psycopg.Connection, args: argparse.Namespace, tables: dict[str, sql.Identifier]) -> str:
    """The one transaction that changes the model."""
    explicit = args.feedback == "explicit"
    queries = [f"SELECT {side}_id, factors FROM {tables[side].as_string(connection)}" for side in SIDES]
    with connection.transaction():
        said = value(
            connection, """SELECT format('run %%s: %%s users, %%s items', run, users, items)
               FROM als_import(%s, %s, %s, ratings => %s, user_column => %s, item_column => %s, rating_column => %s,
                               feedback => %s, regularization => %s, regularization_scaling => 1,
                               regularization_by => 'ratings', alpha => %s, nonnegative => %s, biases => %s)""",
            args.model, *queries, args.ratings, args.user_column, args.item_column, args.rating_column or None,
            args.feedback, args.regularization, None if explicit else args.alpha, args.nonnegative,
            not explicit)
        drop(connection, tables)
    return f"model {args.model}, {said}"


def job(args: argparse.Namespace, spark: SparkSession) -> str:
    if args.checkpoint:
        spark.sparkContext.setCheckpointDir(args.checkpoint)
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(args.dsn, autocommit=True))
        parameters = connection_parameters(connection)
        source = describe(connection, args) if args.ratings else None
        tables = staging_tables(connection, args.model)
        stack.callback(drop, connection, tables)
        if args.parquet:
            ratings, types = read_parquet(spark, args)
        else:
            assert source
            ratings = read_postgres(spark, parameters, stack, source,
                                    args.partitions or spark.sparkContext.defaultParallelism)
        if source:
            types = source.types
        factors = train(args, checked(ratings, args.feedback).persist(), types)
        write(connection, parameters, args, tables, factors, types)
        return take_over(connection, args, tables)


def main() -> None:
    args = arguments()
    # a copy of a task that writes would write twice
    spark = SparkSession.builder.appName(f"als_train {args.model}").config(
        "spark.speculation", "false").getOrCreate()
    try:
        print(job(args, spark))
    except (Failure, psycopg.Error) as error:
        sys.exit(f"als_train.py: {error}")
    except (PySparkException, Py4JJavaError) as error:
        known = re.search(r"not a rating .*|ERROR: .*", str(error))
        sys.exit(f"als_train.py: {known.group() if known else error}")
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
