"""What was measured on, and whether it is quiet enough to measure."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import threading
import time
from importlib.metadata import version

import numpy as np
import psycopg
import threadpoolctl

import peers

SLOWER = 1.10  # than the best calibration: not counted


SIZE, PRODUCTS = 1024, 4  # of a calibration's matrices
FLOPS = 2 * PRODUCTS * SIZE ** 3


class Calibration:
    """A matrix product in as many threads as there will be processes."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.matrix = rng.random((SIZE, SIZE), dtype=np.float32)
        self.best: dict[int, float] = {}

    def measure(self, processes: int) -> float:
        seconds = [0.0] * processes

        def work(number: int) -> None:
            out = np.empty_like(self.matrix)
            start = time.perf_counter()
            for _ in range(PRODUCTS):
                np.matmul(self.matrix, self.matrix, out=out)
            seconds[number] = time.perf_counter() - start

        threads = [threading.Thread(target=work, args=(number,)) for number in range(processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        result = max(seconds)
        self.best[processes] = min(result, self.best.get(processes, result))
        return result

    def settle(self, processes: int, patience: float) -> float:
        """Waits for a quiet moment, but not for ever."""
        until = time.monotonic() + patience
        while True:
            result = max(self.measure(processes), self.measure(processes))
            if result <= SLOWER * self.best[processes] or time.monotonic() > until:
                return result
            time.sleep(1)


def bandwidth(size: int = 1 << 28) -> float:
    """Bytes a second, read and written, of copying far more than the caches hold."""
    source, target = np.ones(size // 8), np.zeros(size // 8)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return 2 * size / best


def kind() -> str:
    """A name for the folder of its results: maker, and what its vectors are."""
    lscpu = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    model = re.search(r"^Model name:\s*(.*)$", lscpu, re.M)
    name = next((name for name in ("epyc", "xeon", "ryzen", "neoverse", "graviton", "core")
                 if model and name in model[1].lower()), platform.machine())
    return f"{name}-{'avx512' if 'avx512f' in lscpu else 'avx2' if 'avx2' in lscpu else platform.machine()}"


def describe(connection: psycopg.Connection) -> tuple[dict[str, str], dict[str, str]]:
    """The machine, and what ran on it."""
    lscpu = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    model = re.search(r"^Model name:\s*(.*)$", lscpu, re.M)
    flags = re.search(r"^Flags:\s*(.*)$", lscpu, re.M)
    vector = [name for name in ("avx2", "fma", "avx512f") if flags and name in flags[1].split()]
    caches = re.findall(r"^(L[123]d?) cache:\s*([0-9.]+ [KMG]iB)", lscpu, re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    blas = sorted({f"{info['internal_api']} {info['version']} ({os.path.basename(info['filepath']).split('.')[0]})"
                   for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"})
    return {
        "processor": f"{model[1].strip() if model else platform.processor()} ({', '.join(vector)})",
        "cores": str(os.cpu_count()),
        "caches": ", ".join(f"{name} {size}" for name, size in caches),
        "memory": f"{memory:.0f} GiB",
    }, {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "PostgreSQL": connection.execute("SHOW server_version").fetchone()[0],
        "als": os.environ.get("ALS_COMMIT", "unknown"),
        "als' BLAS": os.environ.get("ALS_BLAS", "unknown"),
        "Python": platform.python_version(),
        **{name: version(name) for name in ("implicit", "cmfrec", "irspack", "libmf", "numpy", "scipy", "psycopg")},
        "buffalo": "2.0.6" if peers.BUFFALO.exists() else "not installed",
        "the peers' BLAS": ", ".join(blas),
    }
