"""Regions that are moved, on plots and without, in two signals at once: what follows them is that of dense data."""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
import pytest

import hyperspy_sparse

pytestmark = pytest.mark.slow  # every kind of region on every kind of signal

REGIONS = {
    "rectangle of the scan": (lambda: hs.roi.RectangularROI(2.5, 1.0, 3.5, 2.0), True, "x", 0.5),
    "circle of the scan": (lambda: hs.roi.CircleROI(3.0, 1.5, 0.8), True, "cx", 0.5),
    "polygon of the scan": (lambda: hs.roi.PolygonROI([(2.0, 1.0), (4.0, 1.0), (3.0, 2.4)]), True, "vertices", 0.5),
    "position": (lambda: hs.roi.Point2DROI(2.5, 1.5), True, "x", 0.5),
    "columns": (lambda: hs.roi.SpanROI(2.5, 3.5), True, "right", 0.5),
    "line of the scan": (lambda: hs.roi.Line2DROI(2.0, 1.0, 3.5, 2.0, linewidth=0), True, "y2", -0.5),
    "rectangle of the detector": (lambda: hs.roi.RectangularROI(-0.2, -0.6, 0.4, 0.1), False, "y", 0.1),
    "ring of the detector": (lambda: hs.roi.CircleROI(0.0, -0.1, 0.5, 0.2), False, "cy", 0.1),
    "polygon of the detector": (
        lambda: hs.roi.PolygonROI([(-0.4, -0.7), (0.4, -0.6), (0.1, 0.5)]), False, "vertices", 0.1
    ),
}  # fmt: skip
SIGNALS = {
    "lazy": lambda s: s,
    "inav": lambda s: s.inav[:, 1:],
    "isig": lambda s: s.isig[1:, 2:],
    "rebin": lambda s: s.rebin(scale=(1, 1, 2, 2)),
    "product": lambda s: s * hs.signals.Signal2D(np.arange(192.0).reshape(16, 12)),
    "less an image": lambda s: s - hs.signals.Signal2D(np.arange(192).reshape(16, 12) * 0.01),
}


def moved(region, name, step):
    if name == "vertices":
        region.vertices = [(x + step, y) for x, y in region.vertices]
    else:
        setattr(region, name, getattr(region, name) + step)


def follow(region, signal, of_scan):
    """The part under a region, and its sum over the axes that it is over."""
    axes = signal.axes_manager.navigation_axes if of_scan else signal.axes_manager.signal_axes
    axes = axes[:1] if isinstance(region, hs.roi.SpanROI) else axes
    part = region.interactive(signal, navigation_signal=None, axes=tuple(axes))
    over = part.axes_manager.navigation_axes if of_scan else part.axes_manager.signal_axes
    if not over:  # a position
        return part, part
    event = part.events.data_changed
    return part, hs.interactive(part.nansum, axis=tuple(over), event=event, recompute_out_event=None)


def values(signal):
    return np.array(signal.data.compute() if signal._lazy else signal.data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind, plotted", [*((kind, False) for kind in SIGNALS), ("isig", True)])
@pytest.mark.parametrize("which", REGIONS)
def test_what_follows_a_moved_region_is_that_of_dense_data(sparse_signal, dense_signal, which, kind, plotted):
    make, of_scan, name, step = REGIONS[which]
    dense_signal.compute(show_progressbar=False)
    found = []
    for whole in (sparse_signal, dense_signal):
        signal = SIGNALS[kind](whole)
        if plotted:
            signal.plot()
        region = make()
        results = [*follow(region, signal, of_scan), *follow(region, signal.inav[:, :] * 2, of_scan)]
        seen = [values(result) for result in results]
        for factor in (1, 1, -1):
            moved(region, name, factor * step)
            seen += [values(result) for result in results]
        signal.data = signal.data * 3
        signal.events.data_changed.trigger(obj=signal)
        found.append(seen + [values(result) for result in results[:2]])
    plt.close("all")
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["lazy", "rebin", "less an image"])
def test_parts_under_regions_are_saved_and_loaded(sparse_signal, tmp_path, kind):
    signal = SIGNALS[kind](sparse_signal)
    disk = hs.roi.CircleROI(3.0, 1.5, 0.8)(signal, axes=tuple(signal.axes_manager.navigation_axes))
    for ending in (".hspy", ".zspy"):
        path = tmp_path / f"part{ending}"
        disk.save(path, show_progressbar=False)
        for lazy in (False, True):
            again = hs.load(path, lazy=lazy)
            np.testing.assert_array_equal(values(again), values(disk))
            assert [axis.name for axis in again.axes_manager._axes] == ["y", "x", "ky", "kx"]
        with_gaps = values(disk)
        np.testing.assert_array_equal(values(hyperspy_sparse.to_sparse(again)), with_gaps)
