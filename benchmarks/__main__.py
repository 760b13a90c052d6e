"""All benchmarks with one command: ``python -m benchmarks [--quick | --docs]``.

Each module runs in a process of its own, one after the other, and prints its table. A competitor that is
not installed is excluded; a module that fails is named with its error, and the others go on. ``--docs``
writes the results page and its figure into the documentation. The page can be made in parts::

    python -m benchmarks --docs --keep results --minutes 30      # what there is time for; the rest is named
    python -m benchmarks --docs --keep results cluster opening   # these anew, all others as kept
"""

import argparse
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from benchmarks import recordings
from benchmarks.measure import machine

ROOT = Path(__file__).parents[1]
PAGE, FIGURE = ROOT / "docs" / "explanation" / "performance.md", ROOT / "docs" / "images" / "performance.png"

# name: (heading, arguments with --quick, arguments otherwise); in the docs modules run as otherwise
MODULES = {
    "opening": ("Size", ["--packets", "1e6", "1e7"], ["--packets", "1e6", "1e7", "1e8", "1e9"]),
    "reading": ("Packets to frames", ["--rounds", "2"], []),
    "growth": ("Dose and scan positions", ["--quick"], []),
    "signals": (
        "Analyses",
        ["--nav", "32", "--electrons", "200"],
        ["--nav", "128", "--electrons", "200", "2000", "--rounds", "5", "--dense", "8"],
    ),
    "live": ("While it is recorded", ["--quick"], []),
    "in_memory": ("Signals in memory", ["--nav", "32", "--rounds", "2"], []),
    "clusters": ("Hits to electrons", ["--millions", "3"], []),
    "electrons": ("How well electrons are found", [], []),
    "phase": ("Phase", ["--rounds", "2"], ["--large"]),
    "diffraction": ("Disks and variance", ["--frames", "8", "--rounds", "1"], []),
    "repeated_scans": ("Repeated scans", ["--frames", "8"], ["--accuracy"]),
    "convert_large": ("Converting", ["{recording}"], ["{recording}"]),
    "format_sizes": ("Formats", ["8"], ["16"]),
    "simulate": ("Simulating", ["1"], ["4"]),
    "startup": ("Start-up", [], []),
    "compiling": ("Compiling", [], []),
    "out_of_core": ("Larger than memory", ["--steps", "load", "sum pattern"], []),
    "scaling": ("Scaling", ["--packets", "1e7"], []),
    "cluster": ("A cluster", ["--size", "0.25", "--steps", "centre of mass", "conversion"], ["--size", "4"]),
    "profiles": ("Where the time goes", ["--packets", "2e6", "--lines", "4"], []),
}
# for a reader of the page who has not seen the program: what was done, and what the columns are
ABOUT = {
    "opening": (
        "From file to pictures, by size of the recording. *sum*: NumPy adds up the bytes of the file, in memory; "
        "*index*: the pass that finds edges and times; *both passes*: index, and hits of each position, as at a "
        "first opening; *second opening*: with what the first one has kept; *line*, *frame*: read after opening; "
        "*peak*: memory beyond the imports."
    ),
    "reading": (
        "From the bytes of a recording to sorted rows of frames, by us, by the simplest loop that does it (*plain "
        "kernel*), and by readers that others have published, which give hits and no frames."
    ),
    "growth": "Speed of one thread, for recordings of few and many electrons at few and many positions.",
    "signals": (
        "Usual methods of pyXem on frames that are in memory, sparse. Behind the time of another program stands in "
        "brackets how many times as long it takes as ours; below 1 it is faster."
    ),
    "live": (
        "A recording is received, written and shown at once. *sender late*: how long the sender had to wait for "
        "us; *pictures behind*: how long after the last hit the pictures were complete; *buffer*: its largest "
        "filling; *whole*: the file is what was sent, byte for byte."
    ),
    "in_memory": (
        "Signals in memory compared with the simplest compiled loop over the same arrays, on one thread (*plain "
        "loop*), and with the same signal read from its file. Processor time, all threads added up."
    ),
    "clusters": "Finding electrons in hits. The last column: times as long as adding up the bytes takes.",
    "electrons": "On simulated recordings, whose electrons are known.",
    "phase": ("Phase of thin specimens, with the time and the agreement of other programs on the same electrons."),
    "diffraction": (
        "Finding disks and variance in patterns of few electrons. *error*: of the places of disks, root mean "
        "square; *false*: disks that are none, in all patterns."
    ),
    "repeated_scans": (
        "Work on scans that were repeated, next to reading their frames one by one; then how true drift and delay "
        "are that were found in simulations. *stated*: the error that we state."
    ),
    "convert_large": (
        "Conversion of a recording, next to writing the same arrays with their checksums from memory. *times*: how "
        "many times as long it takes."
    ),
    "format_sizes": "The same counts in every format that can hold them.",
    "simulate": "How fast recordings are simulated.",
    "startup": (
        "What a new process waits for. *compiling* is needed once for an installation, and includes the functions "
        "of pyXem and what it imports."
    ),
    "compiling": "Processor time to compile each of our functions, once for an installation.",
    "out_of_core": "Each step in a process that may use a quarter of the size of the file.",
    "scaling": "One and two threads or workers, measured; more workers, calculated from the cost of a task.",
    "cluster": "A recording larger than the memory of all workers, and what it costs when a worker is lost.",
    "profiles": "Python's profiler, one thread: share of the time, calls, and function.",
}
LIMIT = 900  # seconds after which a module is given up


def run(name, arguments, notes, limit=LIMIT):
    """What a module prints in so many seconds, and why it failed, if it did."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    environment = {**os.environ, "BENCHMARK_NOTES": str(notes), "PYTHONWARNINGS": "ignore", "MPLBACKEND": "Agg"}
    done = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        text, errors = done.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        _end(done)
        text, _ = done.communicate()
        return without_progress(text).strip(), f"stopped after {limit:.0f} s"
    lines = errors.strip().splitlines()
    error = (lines[-1] if lines else f"exit {done.returncode}") if done.returncode else None
    return without_progress(text).strip(), error


def _end(process):
    """End a module with the processes that it has started, which would disturb the next one."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


_BAR = re.compile(r"^.*(\[[#= >]*\] \|\s*\d+% Completed|\d+%\|).*$\n?", re.MULTILINE)


def without_progress(text):
    """Printed text without progress bars, those of dask and of tqdm: of a line that was drawn anew, its last state."""
    drawn = (line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", _BAR.sub("", "\n".join(drawn)))


def collect(chosen, quick, folder, keep=None, minutes=None):
    """Measure the chosen modules, as far as so many minutes allow.

    Returns
    -------
    list of dict
        With ``name``, ``text``, ``seconds``, ``notes`` and ``machine`` of each; also files in `keep`.
    """
    found = []
    recording = os.path.join(folder, "recording.tpx3")
    end = time.perf_counter() + 60 * minutes if minutes else float("inf")
    for name in chosen:
        heading, short, full = MODULES[name]
        if importlib.util.find_spec(f"benchmarks.{name}") is None:
            continue
        print(f"## {heading}\n", flush=True)
        begin = time.perf_counter()
        if end - begin < 10:
            print(f"not measured: the {minutes:g} minutes are over\n", flush=True)
            continue
        arguments = short if quick else full
        if "{recording}" in arguments and not os.path.exists(recording):
            recordings.write(recording, 10**7 if quick else 5 * 10**7, (512, 512))
        notes = Path(folder) / f"{name}.jsonl"
        text, error = run(
            name, [recording if a == "{recording}" else a for a in arguments], notes, min(LIMIT, end - begin)
        )
        if error:
            text += f"\n\n`benchmarks.{name}` did not finish: {error}"
        print(text, flush=True)
        took = time.perf_counter() - begin
        print(f"\n({took:.0f} s)\n", flush=True)
        lines = notes.read_text().splitlines() if notes.exists() else []
        result = {
            "name": name, "text": text.strip(), "seconds": took, "notes": [json.loads(line) for line in lines],
            "machine": machine(),
        }  # fmt: skip
        found.append(result)
        if keep and not (error and _stored(keep, name)):  # what was whole is not replaced by a part
            (keep / f"{name}.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    return found


def _stored(keep, name):
    """The result of a module in a folder of results, or None."""
    path = keep / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def targets_table(results):
    """Markdown of the targets next to the figures reached, those not reached first."""
    rows = {False: [], True: []}
    for result in results:
        heading = MODULES[result["name"]][0]
        link = f"[{heading}](#{heading.lower().replace(' ', '-')})"
        for note in result["notes"]:
            if note["kind"] == "target" and note["wanted"] != "measured":
                mark = "yes" if note["met"] else "**no**"
                rows[note["met"]].append(f"| {note['what']} | {note['wanted']} | {note['reached']} | {mark} | {link} |")
    head = "| | Wanted | Reached | | Section |\n|---|---|---|---|---|"
    missed, met = ("\n".join([head, *rows[kind]]) for kind in (False, True))
    return (
        f"{len(rows[True])} of {len(rows[True]) + len(rows[False])} are reached.\n\n"
        + (f"### Not reached\n\n{missed}\n\n" if rows[False] else "")
        + (f"### Reached\n\n{met}" if rows[True] else "")
    ).rstrip()


# figure: (title, across, up, scales)
_AXES = {
    "packets": ("Time grows with the recording", "Packets in the recording", "Time (s)", ("log", "log")),
    "memory": ("Memory hardly does", "Packets in the recording", "Peak beyond the imports (MiB)", ("log", "linear")),
    "dose": ("Speed at any dose", "Hits at a position", "Million hits per second", ("log", "linear")),
    "positions": ("Speed at any number of positions", "Scan positions", "Million hits per second", ("log", "linear")),
    "workers": ("Two workers", "Workers", "Times faster than one", ("linear", "linear")),
}


def draw(notes, path):
    """The curves of all modules in one figure; True if there were any."""
    matplotlib.use("Agg")
    curves = {}
    for note in notes:
        if note["kind"] == "point":
            curves.setdefault(note["figure"], {}).setdefault(note["series"], []).append((note["x"], note["y"]))
    shown = [name for name in _AXES if name in curves]
    if not shown:
        return False
    rows = -(-len(shown) // 2)
    fig, axes = plt.subplots(rows, 2, figsize=(11, 4.2 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    for ax, name in zip(axes.flat, shown):
        title, across, up, scales = _AXES[name]
        for series, points in curves[name].items():
            ax.plot(*zip(*sorted(points)), "o-", ms=5, lw=1.6, label=series)
        ax.set(xscale=scales[0], yscale=scales[1])
        if name == "workers":
            ax.plot([1, 2], [1, 2], ":", color="0.6", label="ideal")
            ax.set_xticks([1, 2])
        if scales[1] == "linear":  # a flat curve looks like one
            ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
        ax.set_title(title, fontsize=12)
        ax.set_xlabel(across)
        ax.set_ylabel(up)
        ax.grid(alpha=0.3, which="major")
        # next to the curves, in their order at the right end, so that no line is hidden
        handles, labels = ax.get_legend_handles_labels()
        order = sorted(range(len(handles)), key=lambda i: -handles[i].get_ydata()[-1])
        ax.legend(
            [handles[i] for i in order], [labels[i] for i in order], fontsize=9, frameon=False,
            loc="center left", bbox_to_anchor=(1, 0.5),
        )  # fmt: skip
    fig.savefig(path, dpi=110)
    plt.close(fig)
    return True


def page(results, figure):
    """Text of the results page: `results` as `collect` gives them; modules that are not in them are named."""
    measured = {result["name"]: result for result in results}
    machines = dict.fromkeys(result["machine"] for result in results)
    took = sum(result["seconds"] for result in results)
    missing = ", ".join(f"`{name}`" for name in MODULES if name not in measured)
    lines = [
        "# Performance",
        "",
        "```sh\npython -m benchmarks --docs       # makes this page; --quick: smaller recordings, writes nothing\n```",
        "",
        f"Measured in {took / 60:.0f} minutes on: {'; and on '.join(machines)}.",
        "Recordings are made on the fly and lie in the page cache. What is compared took turns in the same minute; a "
        "ratio says more than a time.",
        *([f"Not measured this time: {missing}."] if missing else []),
        "",
        "## Targets",
        "",
        targets_table(results),
        "",
    ]
    if figure:
        lines += [
            "![how times and memory grow with packets, dose, positions and workers](../images/performance.png)",
            "",
        ]
    for name, result in measured.items():
        lines += [f"## {MODULES[name][0]}", "", *([ABOUT[name], ""] if name in ABOUT else [])]
        lines += [f"`python -m benchmarks.{name}`, {result['seconds']:.0f} s", ""]
        # headings of a module stand below its own
        lines += [re.sub(r"(?m)^##? ", "### ", result["text"]), ""]
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="module", help=f"some of: {', '.join(MODULES)}")
    parser.add_argument("--quick", action="store_true", help="small recordings")
    parser.add_argument("--docs", action="store_true", help="write the page and its figure into the documentation")
    parser.add_argument("--plot", help="file for the figure, without --docs")
    parser.add_argument("--keep", type=Path, help="folder for results; the page shows all that are in it")
    parser.add_argument("--minutes", type=float, help="begin no module after so many, and stop the last one")
    options = parser.parse_args()
    unknown = sorted(set(options.modules) - set(MODULES))
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(MODULES)}")
    print(f"# Benchmarks\n\n{machine()}\n", flush=True)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        results = collect(options.modules or list(MODULES), options.quick, folder, options.keep, options.minutes)
    took = sum(result["seconds"] for result in results)
    if options.keep:
        results = [result for name in MODULES if (result := _stored(options.keep, name))]
    notes = [note for result in results for note in result["notes"]]
    print(f"## Targets\n\n{targets_table(results)}\n\n{took:.0f} s in all")
    if options.docs:
        figure = draw(notes, FIGURE)
        PAGE.write_text(page(results, figure), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")
    elif options.plot:
        draw(notes, options.plot)


if __name__ == "__main__":
    main()
