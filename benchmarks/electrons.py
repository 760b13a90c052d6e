"""How well electrons are found, on simulated recordings: ``python -m benchmarks.electrons``.

Prints the tables of ``docs/guide/hits_or_electrons.md``: efficiency and purity against the rate, and the error of
positions.
"""

import tempfile
from pathlib import Path

from benchmarks.measure import table, target
from rsciio_tpx3 import simulate
from rsciio_tpx3.reader.event_options import event_options, prepare_events
from rsciio_tpx3.simulate import HitModel, match_electrons
from rsciio_tpx3.tpx3 import Tpx3Source

RATES = (0.1, 1, 3, 10, 30, 75)  # million electrons per second
WINDOWS = ("50 ns", "100 ns", "200 ns")
ELECTRONS = 60_000


def recorded(path, dose, hits="realistic"):
    """A recording of the built-in specimen; `dose` electrons at each position of 20 us."""
    side = max(3, round((ELECTRONS / dose) ** 0.5))
    return simulate.recording(
        path, (side, side + 1), electrons_per_position=dose, dwell_time="20 us", hits=hits, seed=1
    )


def found(path, truth, cluster):
    source = Tpx3Source(str(path), layout="quad", show_progressbar=False)
    return match_electrons(truth, prepare_events(source, event_options(cluster))[0])


def rates(path):
    rows = []
    for rate in RATES:
        truth = recorded(path, rate * 20)
        results = [found(path, truth, {"window": window}) for window in WINDOWS]
        rows.append([rate, *(f"{100 * r.efficiency:.1f} / {100 * r.purity:.1f}" for r in results)])
    print("Electrons found of all, and true ones of those found, in percent, by the window of time:\n")
    table(["million electrons/s", *WINDOWS], rows)
    rate, (window, *_) = RATES[3], WINDOWS
    efficient, pure = rows[3][1].split(" / ")
    reached = f"{efficient} % found, {pure} % of what is found are true"
    target(f"Electrons at {rate} million a second, {window}", "measured", reached, True)


def positions(path):
    choices = [("largest", 1), ("earliest", 1), ("centroid", 1), ("centroid", 3), ("centroid", 9)]
    models = {"electron stops where it enters": HitModel(wander=0.0), "wanders 0.4 px": HitModel()}
    errors = {}
    for name, model in models.items():
        truth = recorded(path, 60, model)
        for position, fine in choices:
            errors[name, position, fine] = found(path, truth, {"position": position, "upsample": fine}).error
    print("Error of positions, root mean square along an axis:\n")
    table(
        ["position", "upsample", *models],
        [[*choice, *(f"{errors[(name, *choice)]:.3f} px" for name in models)] for choice in choices],
    )


def main():
    with tempfile.TemporaryDirectory() as folder:
        rates(Path(folder) / "scan.tpx3")
        positions(Path(folder) / "scan.tpx3")


if __name__ == "__main__":
    main()
