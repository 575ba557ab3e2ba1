"""What lists by more than scores cost: each beside the plain call, in alternating rounds.

The model is trained on ratings of 100,000 items, by als itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import psycopg

import machine
import ours
from data import generate, load
from report import show, table

USERS, ITEMS, RATINGS, FACTORS = 20_000, 100_000, 2_000_000, 64
GOAL = 2  # times the plain call, at most

USER = "%(user)s::integer"
ONE = f"als_recommend('lists', {USER}, 10"
NEW = "als_recommend('lists', -1, 10, cold_start => 'popular'"
MANY = "als_recommend_all('lists', 10, ARRAY(SELECT generate_series(1, 500)), workers => 0"
ITEM = f"als_similar_items('lists', {USER}, 10"
GROUPS = "groups => 'list_groups', per_group => 2"
BOOST = "boost => 'list_boosts'"
OF_LATE = "SELECT * FROM list_popular ORDER BY score DESC, item_id LIMIT 10"
EACH = " UNION ALL ".join(f"SELECT * FROM als_recommend('lists', {USER} + {n}, 10)" for n in range(4))
FOUR = f"als_recommend_together('lists', ARRAY[{USER}, {USER} + 1, {USER} + 2, {USER} + 3], 10"

# A plain call, and those that are compared with it
KINDS = {
    "one user": (f"{ONE})", {
        "min_score": f"{ONE}, min_score => 0.1)",
        "exclude, 100 items": f"{ONE}, exclude => (SELECT few FROM list_ids))",
        "groups, 200": f"{ONE}, {GROUPS})",
        "groups, half the items in one": f"{ONE}, groups => 'list_halves', per_group => 2)",
        "boost, 100 items": f"{ONE}, {BOOST})",
        "groups and boost": f"{ONE}, {GROUPS}, {BOOST})",
        "diversity 0.1": f"{ONE}, diversity => 0.1)",
        "diversity 0.3": f"{ONE}, diversity => 0.3)",
        "diversity 0.7": f"{ONE}, diversity => 0.7)",
        "diversity 0.7, of the 200 best": f"{ONE}, diversity => 0.7, candidates => ARRAY(SELECT item_id FROM als_recommend('lists', {USER}, 200)))",
        "fresh": f"{ONE}, fresh => true)",
        "an unknown user, folded in": f"als_recommend('lists', {USER} + 1000000, 10)",
        "audience": f"als_audience('lists', {USER}, 10)",
    }),
    "four users, one by one": (f"({EACH}) each", {
        "together": f"{FOUR})",
        "together, least misery": f"{FOUR}, by => 'least_misery')",
        "together, groups": f"{FOUR}, {GROUPS})",
    }),
    "an unknown user, what is popular": (f"{NEW})", {
        "popular_since, a 30th of the ratings": f"{NEW}, popular_since => '1 day')",
        "the same from a materialized view": f"(SELECT * FROM als_recommend('lists', -1, 10) UNION ALL ({OF_LATE}) LIMIT 10) popular",
    }),
    "similar items": (f"{ITEM})", {
        "exclude, 100 items": f"{ITEM}, exclude => (SELECT few FROM list_ids))",
        "candidates, 5,000 items": f"{ITEM}, candidates => (SELECT many FROM list_ids))",
        "min_score": f"{ITEM}, min_score => 0.3)",
    }),
    "similar items of 500, one by one": ("generate_series(1, 500) item, LATERAL als_similar_items('lists', item, 10)", {
        "similar_items_all": "als_similar_items_all('lists', 10, ARRAY(SELECT generate_series(1, 500)), workers => 0)",
    }),
    "500 users at once": (f"{MANY})", {
        "min_score": f"{MANY}, min_score => 0.1)",
        "groups, 200": f"{MANY}, {GROUPS})",
        "boost, 100 items": f"{MANY}, {BOOST})",
        "diversity 0.1": f"{MANY}, diversity => 0.1)",
        "diversity 0.3": f"{MANY}, diversity => 0.3)",
        "audience_all, 500 items": "als_audience_all('lists', 10, ARRAY(SELECT generate_series(1, 500)), workers => 0)",
    }),
}


def make(connection: psycopg.Connection, scale: float) -> None:
    """The model, and what calls name."""
    items = max(1000, int(ITEMS * scale))
    ratings = generate("lists", "lists", max(1000, int(USERS * scale)), items, int(RATINGS * scale))
    connection.execute("DROP TABLE IF EXISTS lists, list_ratings, list_groups, list_halves, list_boosts, list_ids CASCADE")
    load(connection, ratings, "list_ratings")
    connection.execute(f"""
        ALTER TABLE list_ratings ADD rated_at timestamptz;
        UPDATE list_ratings SET rated_at = now() - (user_id * 7 + item_id * 13) % 720 * interval '1 hour';
        CREATE INDEX ON list_ratings (item_id);
        CREATE INDEX ON list_ratings (rated_at, item_id);
        CREATE TABLE list_groups AS SELECT item_id, item_id % 200 AS in_group FROM generate_series(1, {items}) item_id;
        CREATE TABLE list_halves AS SELECT item_id, CASE WHEN item_id % 2 = 0 THEN 0 ELSE item_id % 200 END AS in_group
            FROM generate_series(1, {items}) item_id;
        CREATE UNIQUE INDEX ON list_groups (item_id);
        CREATE UNIQUE INDEX ON list_halves (item_id);
        CREATE TABLE list_boosts AS SELECT item_id, 0.1 AS amount FROM generate_series(7, {items}, {items // 100}) item_id LIMIT 100;
        CREATE MATERIALIZED VIEW list_popular AS SELECT item_id, count(*)::real AS score FROM list_ratings WHERE rated_at >= now() - interval '1 day' GROUP BY 1;
        CREATE INDEX ON list_popular (score DESC, item_id);
        CREATE TABLE list_ids AS SELECT ARRAY(SELECT generate_series(1, 100)) AS few, ARRAY(SELECT generate_series(3, {items}, 20)) AS many""")
    connection.execute(f"SELECT als_train('lists', 'list_ratings', factors => {FACTORS}, time_column => 'rated_at')")
    # somebody unknown for each of the first users, with the same ratings
    connection.execute("INSERT INTO list_ratings SELECT user_id + 1000000, item_id, rating, rated_at FROM list_ratings WHERE user_id <= 1000")
    connection.execute("VACUUM (ANALYZE)")


def time_round(connection: psycopg.Connection, query: str, users: np.ndarray) -> list[float]:
    """Seconds of each call; once where it is not about one user."""
    text = f"SELECT count(*) FROM {query}"
    each = []
    for user in users if "%(user)s" in text else users[:1]:
        start = time.perf_counter()
        connection.execute(text, {"user": int(user)} if "%(user)s" in text else None, prepare=True).fetchall()
        each.append(time.perf_counter() - start)
    return each


def measure(options: argparse.Namespace) -> None:
    connection = ours.connect()
    connection.execute("CREATE EXTENSION IF NOT EXISTS als")
    connection.execute("SET max_parallel_workers_per_gather = 0")
    print(f"{time.strftime('%H:%M:%S')} training", flush=True)
    make(connection, options.scale)
    calibration = machine.Calibration()
    samples: dict[str, dict[str, list[list[float]]]] = {plain: {name: [] for name in ("plain", *others)} for plain, (_, others) in KINDS.items()}
    for round_ in range(options.rounds + 1):  # of which the first makes caches and plans
        calibration.settle(1, options.patience)
        print(f"{time.strftime('%H:%M:%S')} round {round_} of {options.rounds}", flush=True)
        users = np.random.default_rng(round_).integers(1, 1000, min(options.calls, 100))
        for plain, (query, others) in KINDS.items():
            for name, text in (("plain", query), *others.items()):
                each = time_round(connection, text, users)
                if round_ > 0:
                    samples[plain][name].append(each)
    hardware, about = machine.describe(connection)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "lists.json").write_text(json.dumps({"machine": hardware, "software": about, "samples": samples}, indent=1), encoding="utf-8")
    write(options.results)


def write(results: Path) -> None:
    """lists.md, from lists.json."""
    result = json.loads((results / "lists.json").read_text(encoding="utf-8"))
    rows = []
    for plain, kinds in result["samples"].items():
        medians = {name: [statistics.median(each) for each in rounds] for name, rounds in kinds.items()}
        for name, rounds in kinds.items():
            ratios = [how(medians[name]) / how(medians["plain"]) for how in (min, statistics.median)]
            rows.append([f"**{plain}**" if name == "plain" else name,
                         f"{show(statistics.median(medians[name]))} ({show(min(medians[name]))})",
                         show(float(np.percentile(np.concatenate(rounds), 90))),
                         "" if name == "plain" else f"**{ratios[0]:.2f}** / {ratios[1]:.2f}",
                         "" if name == "plain" else "yes" if ratios[0] <= GOAL else "no"])
    about = ", ".join(f"{name} {value}" for name, value in (result["machine"] | result["software"]).items()
                      if name in ("processor", "cores", "memory", "PostgreSQL", "als", "date"))
    text = (f"{about}; {ITEMS:,} items, {FACTORS} factors\n\nSeconds of a call: the median of the rounds' medians, in parentheses the least. "
            f"Ratios to the plain call above, in bold: of **minima** / medians; the goal is {GOAL}.\n\n" +
            table(["", "median (best round's)", "a tenth take longer than", "times the plain call", f"within {GOAL}"], rows))
    (results / "lists.md").write_text(text, encoding="utf-8")
    print(text)
