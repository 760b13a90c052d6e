"""The trigger edges that a scan sends to the detector's TDC inputs, and what goes wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.events.edge_kinds import EDGE_CODES
from rsciio_tpx3.simulate.scan import Scan

__all__ = ["Edges", "make_edges"]

_OPPOSITE = {"rise": "fall", "fall": "rise"}


@dataclass(frozen=True)
class Edges:
    """All edges of a recording in time order.

    Attributes
    ----------
    time : numpy.ndarray of int64, shape (n,)
        Recorded time in ticks, not wrapped.
    kind : numpy.ndarray of uint8, shape (n,)
        One of ``packets.EDGE_CODES``.
    counter : numpy.ndarray of int64, shape (n,)
        Number of the edge on its input, rises and falls together, not wrapped.
    missing : numpy.ndarray of bool, shape (n,)
        Counted by the detector, but no packet of it was sent.
    invalid : numpy.ndarray of bool, shape (n,)
        Sent with fine time 0 and the coarse time of the edge before.
    """

    time: np.ndarray
    kind: np.ndarray
    counter: np.ndarray
    missing: np.ndarray
    invalid: np.ndarray

    def __len__(self) -> int:
        return len(self.time)


def make_edges(
    scan: Scan,
    *,
    missing: Sequence[int] | float = (),
    invalid: Sequence[int] | float = (),
    first_counter: int = 1,
    seed: int = 0,
) -> Edges:
    """The edges of a scan.

    Parameters
    ----------
    scan : Scan
    missing, invalid : sequence of int, or float
        Numbers of the edges in time order (negative ones count from the end), or the share of
        edges, which never takes the first or the last.
    first_counter : int
        Counter of the first edge.
    seed : int
        Of the edge jitter and the shares.

    Returns
    -------
    Edges

    Raises
    ------
    ValueError
        If the edge kind is unknown, or an edge number does not exist.
    """
    if scan.tdc not in EDGE_CODES:
        raise ValueError(f"tdc={scan.tdc!r} is not valid: must be one of {', '.join(EDGE_CODES)}.")
    rng = np.random.default_rng([seed, 2])
    first, second = _times(scan)
    tdc, direction = scan.tdc.split("-")
    codes = EDGE_CODES[scan.tdc], EDGE_CODES[f"{tdc}-{_OPPOSITE[direction]}"]
    time = np.concatenate([first, second])
    kind = np.repeat(np.array(codes, np.uint8), [len(first), len(second)])
    order = np.argsort(time, kind="stable")
    time, kind = time[order] - scan.delay, kind[order]
    if scan.edge_jitter and len(time):
        time = time + np.rint(rng.normal(0, scan.edge_jitter, len(time))).astype(np.int64)
        time = np.maximum.accumulate(np.maximum(time, 0))
    gone, wrong = (
        _chosen(what, len(time), rng, name) for name, what in (("missing_edges", missing), ("invalid_edges", invalid))
    )
    return Edges(time, kind, first_counter + np.arange(len(time)), gone, wrong)


def _times(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Times of the starting edges and of the opposite ones, bursts included."""
    starts = scan.line_starts
    columns, dwell = scan.nav_shape[1], scan.dwell
    nothing = np.empty(0, np.int64)
    if scan.sync == "shared-clock":
        return nothing, nothing
    if scan.sync == "frame-trigger":
        first, length = starts[:, 0], round(dwell / 2)
    elif scan.sync == "pixel-trigger":
        steps = np.arange(starts.shape[1] * columns)[: len(scan.order)]
        offsets = (steps % columns) * int(dwell)
        first, length = starts[:, steps // columns] + offsets, round(dwell / 2)
    else:
        first, length = starts, round(scan.active)
    first = first.ravel()
    second = first + length if scan.both_edges else nothing
    number, interval = scan.burst
    if number:
        ends = starts[:, -1] + round(scan.line_pitch)
        quick = (ends[:, None] + np.arange(number) * interval).ravel()
        first = np.concatenate([first, quick])
        if scan.both_edges:
            second = np.concatenate([second, quick + interval // 2])
    return first, second


def _chosen(what: Sequence[int] | float, n: int, rng: np.random.Generator, name: str) -> np.ndarray:
    mask = np.zeros(n, bool)
    if isinstance(what, float):
        if not 0 <= what < 1:
            raise ValueError(f"{name}={what!r}: expected a share from 0 to 1, or edge numbers.")
        mask[1:-1] = rng.random(max(n - 2, 0)) < what
        return mask
    numbers = np.atleast_1d(np.asarray(what, np.int64)) if np.size(what) else np.empty(0, np.int64)
    if len(numbers) and (numbers.min() < -n or numbers.max() >= n):
        raise ValueError(f"{name}={what!r}: the scan has {n} edges, numbered from 0.")
    mask[numbers] = True
    return mask
