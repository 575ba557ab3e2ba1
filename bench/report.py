"""table.md and the plots beside it, from results/samples.json; also: python report.py."""

from __future__ import annotations

import json
import math
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Callable

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from machine import FLOPS, SLOWER, kind  # noqa: E402
from peers import CG, CHOLESKY  # noqa: E402

COLORS = {"als": "#2b6cb0", "implicit": "#dd8452", "cmfrec": "#7a9e5a", "irspack": "#8172b3", "buffalo": "#c44e52"}
RESOLUTION = 110  # pixels an inch
CALM = 3  # rounds, or all that there are, that a row needs
Rounds = dict[int, dict]


class Samples:
    """Samples by what was measured, then by program and round; without the
    rounds that began slower than calm ones do, and without rows that had too
    few of these."""

    def __init__(self, result: dict):
        self.data = result["data"]
        self.shapes = {name: [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:users|items|ratings)", what)]
                       for name, what in result["data"].items()}
        self.peak = {int(key): FLOPS / value for key, value in result["best calibration"].items()}
        self.bandwidth = result["bandwidth"]
        best = {int(key): value for key, value in result["best calibration"].items()}
        self.groups: dict[str, dict[tuple, dict[str, Rounds]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(dict)))
        self.dropped = self.total = 0
        self.left_out: dict[str, int] = defaultdict(int)
        rounds: dict[tuple, list[dict]] = defaultdict(list)
        for sample in result["samples"]:
            key = (sample["data"], sample["rank"], sample["processes"],
                   sample.get("regularization"), sample.get("alpha"))
            rounds[(sample["part"], key)].append(sample)
        for (part, key), samples in rounds.items():
            calm = [s for s in samples if s["calibration"] <= SLOWER * best[s["processes"]]]
            every, quiet = {s["round"] for s in samples}, {s["round"] for s in calm}
            self.total += len(every)
            self.dropped += len(every) - len(quiet)
            if len(quiet) < min(CALM, len(every)):
                self.left_out[part] += 1
                continue
            for sample in calm:
                self.groups[part][key][sample["program"]][sample["round"]] = sample


def seconds(rounds: Rounds, field: str = "seconds") -> list[float]:
    return [sample[field] for sample in rounds.values() if not math.isnan(sample.get(field, math.nan))]


def show(value: float) -> str:
    if value < 0.1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"


def median_and_best(rounds: Rounds, field: str = "seconds") -> str:
    values = seconds(rounds, field)
    return f"{show(statistics.median(values))} ({show(min(values))})" if values else "–"


def best_of(programs: dict[str, Rounds], names: list[str], field: str = "seconds") -> str | None:
    """The program with the least seconds."""
    return min((name for name in names if seconds(programs.get(name, {}), field)),
               key=lambda name: statistics.median(seconds(programs[name], field)), default=None)


def ratios(ours: Rounds, theirs: list[Rounds], field: str = "seconds") -> tuple[float, float] | None:
    """Of the best of theirs to ours: of minima, and of medians."""
    others = [seconds(rounds, field) for rounds in theirs if seconds(rounds, field)]
    if not others or not seconds(ours, field):
        return None
    return (min(map(min, others)) / min(seconds(ours, field)),
            min(map(statistics.median, others)) / statistics.median(seconds(ours, field)))


def ratio(ours: Rounds, theirs: list[Rounds], field: str = "seconds") -> str:
    both = ratios(ours, theirs, field)
    return f"**{both[0]:.1f}** / {both[1]:.1f}" if both else "–"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def named(programs: dict[str, Rounds], name: str | None, field: str = "seconds") -> str:
    return f"{name}: {median_and_best(programs[name], field)}" if name else "–"


SOLVERS = {"cg": CG, "cholesky": CHOLESKY}


def iterations(samples: Samples) -> str:
    rows = []
    for solver, peers in SOLVERS.items():
        for key, programs in samples.groups["iterations"].items():
            ours = programs.get(f"als {solver}")
            theirs = [name for name in peers if programs.get(name)]
            if not ours or not theirs:
                continue
            best = best_of(programs, theirs)
            rows.append([key[0], str(key[1]), str(key[2]), solver, ratio(ours, [programs[name] for name in theirs]),
                         median_and_best(ours), named(programs, best),
                         ", ".join(named(programs, name) for name in theirs if name != best)])
    return table(["data", "rank", "processes", "solver", "best peer to als", "als", "best peer", "others"], rows)


def loss(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["loss"].items():
        data, rank, processes, regularization, alpha = key
        theirs = [name for name in programs if not name.startswith("als")]

        def cell(name: str | None, place: int) -> str:
            if name is None:
                return "none gets there"
            field = ("seconds", "tight")[place]
            values = seconds(programs[name], field)
            number = next(iter(programs[name].values()))["reached"][place]
            return f"{show(statistics.median(values))} ({show(min(values))}), {number} it." if values else "–"

        row = [data, str(rank), f"{regularization:g}", f"{alpha:g}", str(processes)]
        row += [ratio(programs["als cg"], [programs[name] for name in theirs], field) for field in ("seconds", "tight")]
        for place, field in enumerate(("seconds", "tight")):
            best = best_of(programs, theirs, field)
            row += [cell("als cg", place), (f"{best}: " if best else "") + cell(best, place)]
        row.append(", ".join(f"{name}: {cell(name, 0)}" for name in programs
                             if name not in ("als cg", best_of(programs, theirs)) and seconds(programs[name])))
        rows.append(row)
    return table(["data", "rank", "lambda", "alpha", "processes", "to 1.01: best peer to als", "to 1.001: best peer to als",
                  "als to 1.01", "best peer to 1.01", "als to 1.001", "best peer to 1.001", "others to 1.01"], rows)


def explicit(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["explicit"].items():
        theirs = [name for name in programs if name != "als"]
        for name, rounds in programs.items():
            one = next(iter(rounds.values()))
            rows.append([key[0], str(key[1]), str(key[2]), name, f"{one['error']:.4f}",
                         *(text for place, field in enumerate(("seconds", "common")) for text in
                           (f"{one['targets'][place]:.4f}", str(one["reached"][place] or "–"), median_and_best(rounds, field),
                            "" if name == "als" else ratio(programs["als"], [rounds], field))),
                         one["setting"]])
    return table(["data", "rank", "processes", "program", "its lowest RMSE", *("RMSE to reach", "iterations", "seconds", "to als") * 2,
                  "setting"], rows)


def ablation(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["ablation"].items():
        whole = programs["als"]
        for name, rounds in programs.items():
            reached = next(iter(rounds.values()))["reached"]
            rows.append([key[0], str(key[1]), f"{key[3]:g}", f"{key[4]:g}", name,
                         *(f"{reached[place] or '–'}, {median_and_best(rounds, field)}" for place, field in enumerate(("seconds", "tight"))),
                         *("" if name == "als" else ratio(whole, [rounds], field) for field in ("seconds", "tight"))])
    return table(["data", "rank", "lambda", "alpha", "", "iterations and seconds to 1.01", "to 1.001", "to als", "to als, 1.001"], rows)


def goals(samples: Samples) -> str:
    """The worst point of each; ratios of minima."""
    def worst(part: str, ours: str, field: str = "seconds", only=lambda key: True, theirs=lambda name: not name.startswith("als")) -> str:
        found = []
        for key, programs in samples.groups[part].items():
            both = ratios(programs.get(ours, {}), [programs[name] for name in programs if theirs(name)], field)
            if both and only(key):
                found.append((both[0], key))
        if not found:
            return "not measured"
        least, where = min(found)
        return (f"{least:.1f} to {max(found)[0]:.1f}, at {len(found)} points; the least at " +
                ", ".join([where[0], f"rank {where[1]}", f"{where[2]} processes"] +
                          ([f"lambda {where[3]:g}", f"alpha {where[4]:g}"] if where[3] is not None else [])))

    def cg(name: str) -> bool:
        return name in CG

    rows = [["time to 1.01", "5 times the best peer", worst("loss", "als cg")],
            ["time to 1.001", "5 times", worst("loss", "als cg", "tight")],
            *([f"an iteration, rank {rank}", "2 times", worst("iterations", "als cg", only=lambda key, rank=rank: key[1] == rank, theirs=cg)]
              for rank in (64, 128, 256)),
            ["the whole job, 15 iterations", "5 times", worst("job", "als")],
            ["the whole job, to 1.01", "5 times", worst("job to loss", "als cg")],
            ["explicit: time to RMSE 0.001 above the best", "2 times", worst("explicit", "als")],
            ["explicit: time to RMSE 0.001 above what all reach", "2 times", worst("explicit", "als", "common")],
            ["ten for every user, unseen, M", "3 times", worst("everyone", "als, unseen items", only=lambda key: key[0] == "M",
                                                             theirs=lambda name: name == "implicit, unseen items")],
            ["ten for every user, unseen, M, table to table", "3 times",
             worst("everyone", "als, unseen items", only=lambda key: key[0] == "M",
                   theirs=lambda name: name == "implicit, unseen items, table to table")],
            ["ten for one user, a million items, rank 128", "faster than HNSW that finds 95 %",
             worst("serving", "als", only=lambda key: key[0] == "items_1m" and key[1] == 128, theirs=lambda name: name == "pgvector HNSW")]]
    predictions = [min(seconds(programs["als"])) for key, programs in samples.groups["predict"].items() if key[0] == "items_1m"]
    rows.append(["a million predictions, a million items", "1 s", show(max(predictions)) if predictions else "not measured"])
    reading = {key: sum(statistics.median(seconds(programs[f"als {phase}"])) for phase in ("reading", "sorting"))
               for key, programs in samples.groups["reading"].items()}
    scaling = [f"{key[0]} {reading[key] / reading[other]:.2f}" for key in reading for other in reading
               if key[:2] == other[:2] and key[2] == 1 and other[2] == 2 and key[1] == 64]
    iterations = [f"{key[0]} {reading[key] / statistics.median(seconds(samples.groups['reading'][key]['als iteration'])):.1f}"
                  for key in reading if key[1] == 64 and key[2] == 2]
    rows.append(["reading and sorting: 2 processes to 1", "1.7 times", ", ".join(scaling) or "not measured"])
    rows.append(["reading and sorting, in iterations, rank 64, 2 processes", "below 2", ", ".join(iterations) or "not measured"])
    return table(["what", "goal", "measured"], rows)


def job(samples: Samples) -> str:
    rows = [[key[0], str(key[1]), str(key[2]), median_and_best(programs["als"]),
             median_and_best(programs["implicit"]), ratio(programs["als"], [programs["implicit"]]), "5"]
            for key, programs in samples.groups["job"].items()]
    return table(["data", "rank", "processes", "als", "implicit", "ratio", "goal"], rows)


def job_to_loss(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["job to loss"].items():
        peers = [program for program in programs if program != "als cg"]
        best = min(peers, key=lambda program: min(seconds(programs[program])))

        def show_one(program: str) -> str:
            return f"{program}: {median_and_best(programs[program])}, {next(iter(programs[program].values()))['reached']} it."
        rows.append([key[0], str(key[1]), str(key[2]), show_one("als cg"), show_one(best), ratio(programs["als cg"], [programs[best]]), "5",
                     ", ".join(show_one(program) for program in peers if program != best)])
    return table(["data", "rank", "processes", "als", "best peer", "ratio", "goal", "others"], rows)


def serving(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["serving"].items():
        for program, rounds in list(programs.items()):
            first = [median_and_best(rounds, field) if program == "als" else "" for field in ("loading", "first")]
            recalls = [sample["recall"] for sample in rounds.values() if "recall" in sample]
            rows.append([key[0], str(key[1]), program,
                         f"{statistics.median(recalls):.1%}" if recalls else "100%", median_and_best(rounds),
                         show(statistics.median(seconds(rounds, "p99"))), *first,
                         "" if program == "als" else ratio(programs["als"], [rounds]),
                         {"implicit": "10", "pgvector": "10", "pgvector HNSW": "1, if it finds 95 %"}.get(program, "")
                         if key[0] == "items_1m" else ""])
    return table(["data", "rank", "program", "found of the best ten", "median (best round's)", "p99", "first of all", "first in a connection",
                  "ratio", "goal"], rows)


def everyone(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["everyone"].items():
        users = samples.shapes[key[0]][0]
        for end in ("all items", "unseen items", "unseen items, table to table"):
            both = [programs[f"als, {end.removesuffix(', table to table')}"], programs.get(f"implicit, {end}")]
            if both[1] is None:     # results of an earlier bench
                continue
            speed = [f"{users / statistics.median(seconds(rounds)):,.0f}" for rounds in both]
            rows.append([key[0], str(key[1]), str(key[2]), end, *speed,
                         ratio(both[0], both[1:]), "3" if key[0] == "M" else ""])
    return table(["data", "rank", "processes", "among", "als, users/s", "implicit, users/s", "ratio", "goal"], rows)


def use(samples: Samples) -> str:
    """Of one core.  An iteration's operations: per rating and side 4 rank for
    each pass of conjugate gradient, of which there are 3.5, or rank^2 for a
    Gram matrix; per row 4 rank^2 for Gram matrix, whitening there and back, or
    rank^2 + rank^3 / 3.  Its bytes: each rating's entry and factors, once."""
    rows = []
    for key, programs in samples.groups["iterations"].items():
        if key[2] != 1:
            continue
        users, items, ratings = samples.shapes[key[0]]
        rank = key[1]
        for solver, operations in (("cg", 2 * ratings * 14 * rank + 4 * (users + items) * rank ** 2),
                                   ("cholesky", 2 * ratings * rank ** 2 + (users + items) * (rank ** 2 + rank ** 3 / 3))):
            if not seconds(programs.get(f"als {solver}", {})):
                continue
            best = min(seconds(programs[f"als {solver}"]))
            rows.append([key[0], str(rank), solver, show(best),
                         f"{operations / best / 1e9:.0f} GFLOP/s", f"**{operations / best / samples.peak[1]:.0%}**",
                         f"{2 * ratings * (4 * rank + 8) / best / 1e9:.1f} GB/s",
                         f"{2 * ratings * (4 * rank + 8) / best / samples.bandwidth:.0%}"])
    return table(["data", "rank", "solver", "best iteration", "operations", "of sgemm's", "bytes gathered",
                  "of a copy's"], rows) + (f"\nsgemm: {samples.peak[1] / 1e9:.0f} GFLOP/s in one thread; a copy of 256 MiB: "
                                           f"{samples.bandwidth / 1e9:.1f} GB/s read and written.\n" if rows else "")


def processes(samples: Samples) -> str:
    rows = []
    groups = samples.groups["iterations"]
    for key, alone in groups.items():
        together = groups.get((*key[:2], 2, *key[3:]))
        if key[2] == 1 and together:
            gains = {name: statistics.median(seconds(alone[name])) / statistics.median(seconds(together[name]))
                     for name in alone if seconds(alone[name]) and seconds(together.get(name, {}))}
            rows.append([key[0], str(key[1]), ", ".join(f"{name} {gain:.2f}" for name, gain in gains.items())])
    return table(["data", "rank", "how many times faster with 2 processes"], rows) if rows else ""


def predict(samples: Samples) -> str:
    rows = [[key[0], str(key[1]), median_and_best(programs["als"]),
             median_and_best(programs["als"], "first"), "about 1 s"]
            for key, programs in samples.groups["predict"].items()]
    return table(["data", "rank", "a million predictions", "first in a connection", "goal"], rows)


def reading(samples: Samples) -> str:
    """The start by singular vectors is what the first iteration takes longer than later ones."""
    rows = []
    for key, programs in samples.groups["reading"].items():
        one = statistics.median(seconds(programs["als iteration"]))
        phases = [statistics.median(seconds(programs[f"als {phase}"])) for phase in ("reading", "sorting", "writing")]
        firsts = seconds(samples.groups["iterations"].get(key, {}).get("als cg", {}), "first")
        rows.append([key[0], str(key[1]), str(key[2]), *map(show, phases), show(one),
                     f"**{(phases[0] + phases[1]) / one:.1f}**", f"{statistics.median(firsts) / one - 1:.2f}" if firsts else "–"])
    return table(["data", "rank", "processes", "reading", "sorting", "writing", "one iteration (cg)",
                  "reading and sorting, in iterations", "the start, in iterations"], rows)


# Of quality: what is shown of each kind of feedback, the first one deciding, and whether more of it is better
MEASURES = {"implicit": ({"ndcg": "NDCG@10", "recall": "recall@10", "coverage": "coverage"}, True),
            "explicit": ({"rmse": "RMSE"}, False)}
NO_PEERS = ("als", "popularity", "item-kNN", "EASE", "the mean", "the textbook's")


def quality(result: dict) -> str:
    parts = []
    for feedback, (measures, more) in MEASURES.items():
        deciding = next(iter(measures))
        entries: dict[str, list[dict]] = defaultdict(list)
        for entry in result["quality"]:
            if entry.get("feedback") == feedback:
                entries[entry["data"]].append(entry)
        if not entries:
            continue
        rows, heads = [], []
        for data, these in entries.items():
            these.sort(key=lambda entry: (entry["trials"], entry["factors"], (-1 if more else 1) * entry["measures"][deciding]))
            rows += [[data, f"**{entry['program']}**" if entry["program"] == "als" else entry["program"], tuning(entry),
                      *(f"{entry['measures'][name]:.4f}" for name in measures),
                      "–" if entry["seconds"] is None else show(entry["seconds"]),
                      ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                                for name, value in entry["setting"].items())] for entry in these]
            heads.append([data, *against(these, deciding, max if more else min)])
        parts += [table(["data", "defaults to als_tune's best", "defaults to none", "defaults to the best peer's defaults",
                         "als_tune to the best peer tuned"], heads),
                  table(["data", "program", "", *measures.values(), "seconds", "setting"], rows)]
    return ("Of both tables of a kind of feedback the first has ratios of "
            "als' figure to others', the second has all figures; seconds are those of tuning and training. "
            "`Spark's` and `the textbook's` are their parameters, trained by als.\n\n" + "\n".join(parts)) if parts else ""


def tuning(entry: dict) -> str:
    if entry["trials"]:
        return f"{entry['trials']} trials"
    return f"{entry['factors']} factors" if entry["factors"] else ""


def against(entries: list[dict], measure: str, best: Callable) -> list[str]:
    """als' defaults to its best search, to no model at all, and to the best peer's; the search to the best peer tuned, by trials."""
    def figure(keep: Callable[[dict], bool]) -> float | None:
        return best((entry["measures"][measure] for entry in entries if keep(entry)), default=None)

    def ratio_to(ours: float | None, other: float | None) -> str:
        return f"{ours / other:.3f}" if ours and other else "–"

    defaults = figure(lambda entry: entry["program"] == "als" and not entry["trials"])
    budgets = sorted({entry["trials"] for entry in entries if entry["trials"]})
    tuned = [(figure(lambda entry: entry["program"] == "als" and entry["trials"] == trials),
              figure(lambda entry: entry["program"] != "als" and entry["trials"] == trials)) for trials in budgets]
    return [ratio_to(defaults, figure(lambda entry: entry["program"] == "als" and entry["trials"] > 0)),
            ratio_to(defaults, figure(lambda entry: entry["program"] in ("popularity", "the mean"))),
            ratio_to(defaults, figure(lambda entry: not entry["trials"] and entry["program"] not in NO_PEERS)),
            ", ".join(f"{ratio_to(*pair)} ({trials})" for trials, pair in zip(budgets, tuned)) or "–"]


def tidy(axes: plt.Axes) -> None:
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=RESOLUTION, metadata={"Software": None})
    plt.close(figure)


def plot_loss(samples: Samples, path: Path) -> None:
    """Ratios of all points, a row of dots for each data and rank."""
    groups = samples.groups["loss"]
    names = list(dict.fromkeys((key[0], key[1], key[2]) for key in groups))
    figure, axes = plt.subplots(1, 2, squeeze=False, figsize=(10, 1.2 + 0.4 * len(names)), layout="constrained", sharey=True)
    for axis, field, title in zip(axes[0], ("seconds", "tight"), ("1.01", "1.001")):
        for place, name in enumerate(names):
            for peer, color in COLORS.items():
                points = [value[0] for key, programs in groups.items() if key[:3] == name and peer != "als"
                          for value in [ratios(programs.get("als cg", {}),
                                               [programs[other] for other in programs if other.startswith(peer)], field)] if value]
                axis.scatter(points, [place] * len(points), color=color, s=18, label=peer if place == 0 and peer != "als" else None)
        axis.axvline(1, color="black", linewidth=0.6)
        axis.axvline(5, color="black", linewidth=0.6, linestyle=":")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_title(f"seconds to {title} times the loss of exact ALS, peer to als", fontsize=9)
        axis.set_yticks(range(len(names)), [f"{data}, rank {rank}, {processes} proc." for data, rank, processes in names], fontsize=8)
        tidy(axis)
    axes[0][0].legend(frameon=False, fontsize=8)
    save(figure, path)


SECTIONS = (
    ("loss", "Seconds to a loss, and iterations to it", loss),
    ("iterations", "Seconds per iteration", iterations),
    ("job", "The whole job: from the ratings table to factor tables, 15 iterations", job),
    ("job to loss", "The whole job, to 1.01 times the loss of exact ALS", job_to_loss),
    ("explicit", "Explicit ratings: seconds to an RMSE 0.001 above the lowest of all, and of what all reach", explicit),
    ("ablation", "Without what made it faster", ablation),
    ("serving", "Ten recommendations for one user", serving),
    ("everyone", "Ten recommendations for every user", everyone),
    ("predict", "A million predictions in one query", predict),
    ("reading", "Reading and sorting against one iteration", reading),
)
PLOTS = {"loss": ("loss.png", plot_loss)}


def software(runs: list[dict]) -> str:
    """A column for each that differs."""
    columns: dict[tuple, list[int]] = defaultdict(list)
    for number, run in enumerate(runs, 1):
        columns[tuple(run["software"].items())].append(number)
    heads = [""] + [f"run {', '.join(map(str, numbers))}" for numbers in columns.values()]
    return table(heads, [[name, *(dict(column)[name] for column in columns)] for name in runs[0]["software"]])


def write(results: Path) -> None:
    with open(results / "samples.json", encoding="utf-8") as file:
        result = json.load(file)
    samples = Samples(result)
    parts = ["# Results\n",
             "What is measured and how: [benchmarks](../../README.md).\n",
             "\n".join(f"{number}. `{run['command']}`, {run['minutes']:.0f} minutes on {run['date']}, als {run['als']}"
                       for number, run in enumerate(result["runs"], 1)) + "\n",
             table(["", ""], [[name, value] for name, value in result["machine"].items()]),
             software(result["runs"]),
             "\n".join(f"- {name}: {what}" for name, what in result["data"].items()) + "\n",
             "Ratios: how many times als' seconds the best peer takes, of **minima** / medians. Seconds: median, and in "
             f"parentheses the best. {samples.dropped} of {samples.total} rounds began with a matrix product more than "
             f"{SLOWER - 1:.0%} slower than the best, and are left out; so are rows with fewer than {CALM} others: " +
             (", ".join(f"{count} of {part}" for part, count in samples.left_out.items()) or "none") + ".\n",
             f"## Goals\n\n{goals(samples)}"]
    notes = [f"- run {number}: {note}\n" for number, run in enumerate(result["runs"], 1) for note in run["notes"]]
    parts += ["".join(notes)] if notes else []
    for part, title, section in SECTIONS:
        if not samples.groups[part]:
            continue
        parts.append(f"## {title}\n\n{section(samples)}")
        if part == "iterations":
            parts.append(f"### How much of the machine\n\n{use(samples)}")
            parts.append(f"### With 2 processes\n\n{processes(samples)}")
        if part in PLOTS:
            name, plot = PLOTS[part]
            plot(samples, results / name)
            parts.append(f"![{title}]({name})\n")
    if worth := quality(result):
        parts.append(f"## What the recommendations are worth\n\n{worth}")
    text = "\n".join(parts)
    (results / "table.md").write_text(text, encoding="utf-8")
    print(text[:text.find("\n## ", text.find("## Goals") + 3)])


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent / "results" / kind())
