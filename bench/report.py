"""table.md and the plots beside it, from results/samples.json; also: python report.py."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from machine import FLOPS, SLOWER  # noqa: E402

COLORS = {"als": "#2b6cb0", "implicit": "#dd8452", "cmfrec": "#7a9e5a", "pgvector": "#8172b3"}
RESOLUTION = 110  # pixels an inch
Rounds = dict[int, dict]


class Samples:
    """Samples by what was measured, then by program and round; without the
    rounds that began slower than calm ones do, as long as that leaves one of
    each program."""

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
        self.noisy: set[tuple] = set()
        rounds: dict[tuple, list[dict]] = defaultdict(list)
        for sample in result["samples"]:
            key = (sample["data"], sample["rank"], sample["processes"],
                   sample.get("regularization"), sample.get("alpha"))
            rounds[(sample["part"], key)].append(sample)
        for (part, key), samples in rounds.items():
            calm = [s for s in samples if s["calibration"] <= SLOWER * best[s["processes"]]]
            if {s["program"] for s in calm} != {s["program"] for s in samples}:
                calm = []
            every = {s["round"] for s in samples}
            self.total += len(every)
            self.dropped += len(every) - len({s["round"] for s in calm})
            if not calm:
                self.noisy.add((part, key))
            for sample in calm or samples:
                self.groups[part][key][sample["program"]][sample["round"]] = sample

    def star(self, part: str, key: tuple) -> str:
        return " \\*" if (part, key) in self.noisy else ""


def seconds(rounds: Rounds, field: str = "seconds") -> list[float]:
    return [sample[field] for sample in rounds.values() if not math.isnan(sample[field])]


def show(value: float) -> str:
    if value < 0.1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"


def median_and_best(rounds: Rounds, field: str = "seconds") -> str:
    values = seconds(rounds, field)
    return f"{show(statistics.median(values))} ({show(min(values))})" if values else "–"


def ratio(ours: Rounds, theirs: list[Rounds]) -> str:
    """Of the best of theirs to ours, round by round; those that were stopped
    would have taken longer than they did."""
    ratios, open_end = [], False
    for number in ours:
        others = [(sample["longest"], True) if math.isnan(sample["seconds"]) else (sample["seconds"], False)
                  for sample in (peer[number] for peer in theirs if number in peer)]
        if others and not math.isnan(ours[number]["seconds"]):
            best, stopped = min(others)
            ratios.append(best / ours[number]["seconds"])
            open_end |= stopped
    if not ratios:
        return "–"
    spread = f" ({min(ratios):.1f}..{max(ratios):.1f})" if len(ratios) > 1 else ""
    return f"{'> ' if open_end else ''}**{statistics.median(ratios):.1f}**{spread}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def iterations(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["iterations"].items():
        data, rank, processes, *_ = key
        cg_peers = [("implicit", "5"), ("cmfrec", "4")]
        for name, peers in (("cg", cg_peers), ("cg 2 steps", cg_peers),
                            ("cholesky", [("implicit", ""), ("cmfrec", ""), ("the better", "3")])):
            ours, solver = programs[f"als {name}"], name.split()[0]
            for peer, goal in peers:
                programs_of = [peer] if peer != "the better" else ["implicit", "cmfrec"]
                theirs = [programs[f"{program} {solver}"] for program in programs_of if programs[f"{program} {solver}"]]
                if not ours or not theirs:
                    continue
                rows.append([data + samples.star("iterations", key), str(rank), str(processes), name,
                             median_and_best(ours), peer, median_and_best(theirs[0]) if len(theirs) == 1 else "",
                             ratio(ours, theirs), goal])
    return table(["data", "rank", "processes", "solver", "als", "peer", "peer's", "ratio", "goal"], rows)


CG_PROGRAMS = ["als cg", "als cg 2 steps", "implicit cg", "cmfrec cg"]


def losses(samples: Samples) -> str:
    """What those iterations came to; the same in every round and in any number of processes, but for rounding."""
    rows = {}
    for (data, rank, *_), programs in samples.groups["iterations"].items():
        each = [next(iter(programs[name].values()), {}).get("loss") for name in CG_PROGRAMS]
        if all(each):
            rows[data, rank] = [data, str(rank), *(f"{value / each[0]:.4f}" for value in each)]
    return table(["data", "rank", *CG_PROGRAMS], list(rows.values()))


LOSS_PROGRAMS = [f"{program} {solver}" for program in ("als", "implicit", "cmfrec") for solver in ("cg", "cholesky")]


def loss(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["loss"].items():
        data, _, processes, regularization, alpha = key

        def cell(program: str) -> str:
            rounds = programs[program]
            if not rounds:
                return "not measured"
            values = seconds(rounds)
            reached = next(iter(rounds.values()))["reached"]
            if values:
                return f"{show(statistics.median(values))} ({reached})"
            last = next(iter(rounds.values()))
            return f"> {show(last['longest'])} ({last['curve'][-1][2]})"

        theirs = [programs[name] for name in LOSS_PROGRAMS if not name.startswith("als")]
        rows.append([data + samples.star("loss", key), f"{regularization:g}", f"{alpha:g}",
                     *map(cell, LOSS_PROGRAMS), ratio(programs["als cg"], [programs["implicit cg"]]),
                     ratio(programs["als cg"], theirs), ratio(programs["als cholesky"], theirs), "5"])
    return table(["data", "lambda", "alpha", *LOSS_PROGRAMS, "als cg to implicit cg", "als cg to the best peer",
                  "als cholesky to the best peer", "goal"], rows)


def job(samples: Samples) -> str:
    rows = [[key[0] + samples.star("job", key), str(key[1]), str(key[2]), median_and_best(programs["als"]),
             median_and_best(programs["implicit"]), ratio(programs["als"], [programs["implicit"]]), "6"]
            for key, programs in samples.groups["job"].items()]
    return table(["data", "rank", "processes", "als", "implicit", "ratio", "goal"], rows)


def serving(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["serving"].items():
        for program, rounds in list(programs.items()):
            first = [median_and_best(rounds, field) if program == "als" else "" for field in ("loading", "first")]
            recalls = [sample["recall"] for sample in rounds.values() if "recall" in sample]
            rows.append([key[0] + samples.star("serving", key), str(key[1]), program,
                         f"{statistics.median(recalls):.1%}" if recalls else "100%", median_and_best(rounds),
                         show(statistics.median(seconds(rounds, "p99"))), *first,
                         "" if program == "als" else ratio(programs["als"], [rounds]),
                         {"implicit": "10", "pgvector": "10", "pgvector HNSW": "1"}.get(program, "")
                         if key[0] == "items_1m" else ""])
    return table(["data", "rank", "program", "found of the best ten", "median (best round's)", "p99", "first of all", "first in a connection",
                  "ratio", "goal"], rows)


def everyone(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["everyone"].items():
        users = samples.shapes[key[0]][0]
        for end in ("all items", "unseen items"):
            both = [programs[f"als, {end}"], programs[f"implicit, {end}"]]
            speed = [f"{users / statistics.median(seconds(rounds)):,.0f}" for rounds in both]
            rows.append([key[0] + samples.star("everyone", key), str(key[1]), str(key[2]), end, *speed,
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
            best = min(seconds(programs[f"als {solver}"]))
            rows.append([key[0] + samples.star("iterations", key), str(rank), solver, show(best),
                         f"{operations / best / 1e9:.0f} GFLOP/s", f"**{operations / best / samples.peak[1]:.0%}**",
                         f"{2 * ratings * (4 * rank + 8) / best / 1e9:.1f} GB/s",
                         f"{2 * ratings * (4 * rank + 8) / best / samples.bandwidth:.0%}"])
    return table(["data", "rank", "solver", "best iteration", "operations", "of sgemm's", "bytes gathered",
                  "of a copy's"], rows) + (f"\nsgemm: {samples.peak[1] / 1e9:.0f} GFLOP/s in one thread; a copy of 256 MiB: "
                                           f"{samples.bandwidth / 1e9:.1f} GB/s read and written.\n")


def processes(samples: Samples) -> str:
    rows = []
    groups = samples.groups["iterations"]
    for key, alone in groups.items():
        together = next((other for other in groups if other[:2] == key[:2] and other[2] > 1), None)
        if key[2] != 1 or together is None:
            continue
        for solver in ("cg", "cholesky"):
            gains = [statistics.median(seconds(alone[name])) / statistics.median(seconds(groups[together][name]))
                     if seconds(alone[name]) and seconds(groups[together][name]) else math.nan
                     for name in (f"{program} {solver}" for program in ("als", "implicit", "cmfrec"))]
            rows.append([key[0] + (samples.star("iterations", key) or samples.star("iterations", together)), str(key[1]),
                         str(together[2]), solver, *("–" if math.isnan(gain) else f"{gain:.2f}" for gain in gains)])
    return table(["data", "rank", "processes", "solver", "als", "implicit", "cmfrec"], rows) if rows else ""


def predict(samples: Samples) -> str:
    rows = [[key[0] + samples.star("predict", key), str(key[1]), median_and_best(programs["als"]),
             median_and_best(programs["als"], "first"), "about 1 s"]
            for key, programs in samples.groups["predict"].items()]
    return table(["data", "rank", "a million predictions", "first in a connection", "goal"], rows)


def reading(samples: Samples) -> str:
    rows = []
    for key, programs in samples.groups["reading"].items():
        one = statistics.median(seconds(programs["als iteration"]))
        phases = [statistics.median(seconds(programs[f"als {phase}"])) for phase in ("reading", "sorting", "writing")]
        rows.append([key[0] + samples.star("reading", key), str(key[1]), str(key[2]), *map(show, phases), show(one),
                     f"**{(phases[0] + phases[1]) / one:.1f}**"])
    return table(["data", "rank", "processes", "reading", "sorting", "writing", "one iteration (cg)",
                  "reading and sorting, in iterations"], rows)


def quality(result: dict) -> str:
    rows = []
    for entry in result["quality"]:
        figures = [entry["measures"].get(name) for name in ("ndcg", "recall", "precision", "rmse")]
        explicit = "explicit" in entry["program"]
        rows.append([entry["data"], entry["program"],
                     ", ".join(f"{name} {value:g}" for name, value in entry["setting"].items()
                               if isinstance(value, (int, float)) and name in ("factors", "regularization", "alpha")),
                     *(f"{value:.4f}" if value is not None and explicit == (place == 3) else ""
                       for place, value in enumerate(figures))])
    return table(["data", "program", "best setting", "NDCG@10", "recall@10", "precision@10", "RMSE"], rows)


def tidy(axes: plt.Axes) -> None:
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=RESOLUTION, metadata={"Software": None})
    plt.close(figure)


def plot_iterations(samples: Samples, path: Path) -> None:
    """A row of axes for each data, whose seconds are of another size."""
    groups = samples.groups["iterations"]
    datasets = list(dict.fromkeys(key[0] for key in groups))
    figure, axes = plt.subplots(len(datasets), 2, squeeze=False, figsize=(10, 3.2 * len(datasets)), layout="constrained")
    for row, data in zip(axes, datasets):
        keys = [key for key in groups if key[0] == data]
        for axis, solver in zip(row, ("cg", "cholesky")):
            for place, program in enumerate(("als", "implicit", "cmfrec")):
                heights = [statistics.median(seconds(groups[key][f"{program} {solver}"]) or [math.nan]) for key in keys]
                bars = axis.bar([x + 0.27 * (place - 1) for x in range(len(keys))], heights, 0.25,
                                label=program, color=COLORS[program])
                axis.bar_label(bars, ["" if math.isnan(height) else f"{height:.2g}" for height in heights],
                               fontsize=7, padding=1)
            axis.set_xticks(range(len(keys)), [f"rank {rank}\n{processes} proc." for _, rank, processes, *_ in keys],
                            fontsize=8)
            axis.set_title(data + {"cg": ", conjugate gradient, at most 3 steps", "cholesky": ", Cholesky"}[solver],
                           fontsize=10)
            axis.set_ylabel("seconds per iteration")
            tidy(axis)
    axes[0][0].legend(frameon=False, fontsize=8)
    save(figure, path)


def plot_loss(samples: Samples, path: Path) -> None:
    groups = samples.groups["loss"]
    columns = min(4, len(groups))
    figure, axes = plt.subplots(math.ceil(len(groups) / columns), columns, squeeze=False,
                                figsize=(3.2 * columns, 2.8 * math.ceil(len(groups) / columns)), layout="constrained")
    for axis, (key, programs) in zip(axes.flat, groups.items()):
        for name in LOSS_PROGRAMS:
            if not programs[name]:
                continue
            program, solver = name.split()
            sample = next(iter(programs[name].values()))
            points = [(time, loss / sample["target"]) for time, loss, number in sample["curve"]]
            axis.plot(*zip(*points), color=COLORS[program], linestyle="-" if solver == "cg" else "--", marker=".",
                      markersize=3, linewidth=1.2, label=name)
        axis.axhline(1, color="black", linewidth=0.6)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_ylim(0.97, 1.5)
        axis.set_title(f"{key[0]}, lambda {key[3]:g}, alpha {key[4]:g}", fontsize=9)
        tidy(axis)
    for axis in axes[-1]:
        axis.set_xlabel("seconds of training")
    for row in axes:
        row[0].set_ylabel("loss / target")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False,
                  fontsize=8)
    save(figure, path)


SECTIONS = (
    ("iterations", "Seconds per iteration", iterations),
    ("loss", "Seconds to a loss, and iterations to it", loss),
    ("job", "The whole job: from the ratings table to factor tables, 15 iterations", job),
    ("serving", "Ten recommendations for one user", serving),
    ("everyone", "Ten recommendations for every user", everyone),
    ("predict", "A million predictions in one query", predict),
    ("reading", "Reading and sorting against one iteration", reading),
)
PLOTS = {"iterations": ("iterations.png", plot_iterations), "loss": ("loss.png", plot_loss)}


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
             "What is measured and how: [benchmarks](../README.md).\n",
             "\n".join(f"{number}. `{run['command']}`, {run['minutes']:.0f} minutes on {run['date']}, als {run['als']}"
                       for number, run in enumerate(result["runs"], 1)) + "\n",
             table(["", ""], [[name, value] for name, value in result["machine"].items()]),
             software(result["runs"]),
             "\n".join(f"- {name}: {what}" for name, what in result["data"].items()) + "\n",
             "Median, and in parentheses the best; ratios round by round, median (lowest..highest). "
             f"{samples.dropped} of {samples.total} rounds began with a matrix product more than "
             f"{SLOWER - 1:.0%} slower than the best, and are left out"
             + (", except where that would have left none (\\*)" if samples.noisy else "") + ".\n"]
    notes = [f"- run {number}: {note}\n" for number, run in enumerate(result["runs"], 1) for note in run["notes"]]
    parts += ["".join(notes)] if notes else []
    for part, title, section in SECTIONS:
        if not samples.groups[part]:
            continue
        parts.append(f"## {title}\n\n{section(samples)}")
        if part == "iterations":
            parts.append(f"### The losses of these iterations, of als' three steps\n\n{losses(samples)}")
            parts.append(f"### How much of the machine\n\n{use(samples)}")
            parts.append(f"### How many times faster with more processes\n\n{processes(samples)}")
        if part in PLOTS:
            name, plot = PLOTS[part]
            plot(samples, results / name)
            parts.append(f"![{title}]({name})\n")
    if result.get("quality"):
        parts.append(f"## What the recommendations are worth\n\n{quality(result)}")
    text = "\n".join(parts)
    (results / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    write(Path(__file__).resolve().parent / "results")
