"""What all benchmarks share: taking turns, memory of a process of its own, and notes for the results page.

A module prints its table as it goes. Figures that the results page collects (targets, points of a
curve) are also noted in the file that the environment variable ``BENCHMARK_NOTES`` names.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

__all__ = ["fresh", "machine", "note_target", "peak_memory", "point", "processor_seconds", "seconds", "table", "target",
           "turns"]  # fmt: skip


def seconds(function):
    """Time of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def processor_seconds(function):
    """Processor time of one call, of all threads, user and system: what other programs do matters little."""
    begin = time.process_time()
    function()
    return time.process_time() - begin


def turns(functions, rounds=5, choose=statistics.median, clock=seconds):
    """Seconds of each of several functions that take turns, after one round that is not counted.

    Parameters
    ----------
    functions : dict of str to callable
    rounds : int
    choose : callable
        Median, or `min`.
    clock : callable
        `seconds` or `processor_seconds`.

    Returns
    -------
    dict of str to float
    """
    times = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            took = clock(function)
            if turn:
                times[name].append(took)
    return {name: choose(values) for name, values in times.items()}


def fresh(code, *arguments, environment=None):
    """Run Python code in a process of its own: the values of the JSON on its last line, and MiB at its peak."""
    tail = "\nimport json\nfrom benchmarks.measure import peak_memory\nprint(json.dumps([result, peak_memory()]))\n"
    done = subprocess.run(
        [sys.executable, "-c", code + tail, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peak_memory():
    """MiB that this process had at its peak."""
    try:
        with open("/proc/self/status") as file:  # getrusage counts what the process that started this one had
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        import resource  # Windows has none

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(header, rows):
    """Print a Markdown table; numbers on the right."""
    print("| " + " | ".join(header) + " |")
    print("|---|" + "---:|" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def note_target(what, wanted, reached, met):
    """Note a target of the project next to the figure reached."""
    _note(kind="target", what=what, wanted=wanted, reached=reached, met=bool(met))


def target(what, wanted, reached, met):
    """Note a target and print it."""
    note_target(what, wanted, reached, met)
    print(f"*{what}: {reached} (wanted: {wanted})*\n", flush=True)


def point(figure, series, x, y):
    """Note a point of a curve for the plot."""
    _note(kind="point", figure=figure, series=series, x=float(x), y=float(y))


def _note(**fields):
    path = os.environ.get("BENCHMARK_NOTES")
    if path:
        with open(path, "a") as file:
            file.write(json.dumps(fields) + "\n")


def machine():
    """The machine in a line: processor, cores, memory, system and versions; no names of hosts or folders."""
    model = platform.processor() or platform.machine()
    memory = None
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (OSError, StopIteration, ValueError):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [model, f"{cores} cores"]
    if memory:
        parts.append(f"{memory:.0f} GiB of memory")
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "dask", "hyperspy", "pyxem"))
    return f"{', '.join(parts)}; {platform.system()}, Python {platform.python_version()}, {packages}"
