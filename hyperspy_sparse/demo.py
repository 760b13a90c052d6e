"""``rsciio-tpx3 demo``: from a recording to the usual pictures, by pyXem's own methods."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from dask.utils import format_bytes
from matplotlib.colors import LogNorm, hsv_to_rgb
from matplotlib.patches import Circle

from hyperspy_sparse.calibration_cache import remember_geometries
from hyperspy_sparse.microscope import beam_disk
from hyperspy_sparse.summary import recording_summary
from rsciio_tpx3 import simulate
from rsciio_tpx3.formats import size_of
from rsciio_tpx3.utils.steps import step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyperspy.signal import BaseSignal
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = ["analyse", "figure", "run"]

_SCAN = (128, 128)  # (x, y) of the simulated recording


def run(files: Sequence[str] = (), folder: str | os.PathLike = ".", options: dict | None = None) -> Path:
    """Simulate a recording if none is named, load it, compute pictures, and save one figure.

    Parameters
    ----------
    files : sequence of str
        Recordings; several are the pieces of one acquisition. None: simulate one.
    folder : str or Path
        Where the simulated recording and the figure go.
    options : dict, optional
        Options of ``hs.load`` for these files.

    Returns
    -------
    pathlib.Path
        The figure.

    Examples
    --------
    >>> from hyperspy_sparse import demo
    >>> demo.run(folder="results")  # doctest: +SKIP
    """
    matplotlib.use("Agg")  # a figure in a file needs no window, and there may be no screen
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    options = dict(options or {})
    if not files:
        files = [_simulated(folder / "rsciio_tpx3_demo.tpx3")]
        options = {"navigation_shape": _SCAN, **options}
    files = list(files)
    signal = _load(files, options)
    _describe(signal, sum(map(size_of, files)))
    results = analyse(signal)
    path = folder / f"{Path(files[0]).stem}.png"
    figure(results, signal.metadata.General.title).savefig(path, dpi=110)
    print(f"Figure: {path.resolve()}")
    return path


def compile_signals(path: str | os.PathLike, **options: Any) -> None:
    """Use the methods of sparse signals on a small recording, so that their functions are compiled and cached.

    Parameters
    ----------
    path : path-like
        A recording.
    **options
        Of ``hs.load``, where its scan is not found by itself.
    """
    for lazy in (True, False):
        signal = hs.load(path, lazy=lazy, progress=False, **options)
        with contextlib.redirect_stdout(io.StringIO()):
            analyse(signal)
        for result in (signal.rebin(scale=(2, 2, 2, 2)), signal.max(axis=(0, 1)), signal.var(axis=(0, 1))):
            _computed(result)
        signal.inav[1, 1].data.compute()


def _simulated(path: Path) -> str:
    with step(f"Simulating a 4D STEM recording of {_SCAN[0]} x {_SCAN[1]} positions on a quad detector"):
        simulate.demo(path, nav_shape=_SCAN[::-1])
    print(f"Recording: {path.resolve()}")
    return str(path)


def _load(files: list[str], options: dict) -> BaseSignal:
    if len(files) > 1:
        options["all_parts"] = files
    with step(f"Loading with hs.load({os.path.basename(files[0])!r})"):
        return hs.load(files[0], lazy=True, **options)


def _describe(signal: BaseSignal, n_bytes: int) -> None:
    """What was found, in the words of the signal."""
    summary = recording_summary(signal)
    axes = signal.axes_manager
    positions, pixels = (" x ".join(map(str, shape)) for shape in (axes.navigation_shape, axes.signal_shape))
    print(f"  {positions} positions, {pixels} pixels (x, y)")
    print("\n".join(f"  {line}" for line in str(summary).splitlines()))
    print(
        f"  file       {format_bytes(n_bytes)}; the dense array is {summary.dense_size / n_bytes:,.0f} times as large"
    )


def analyse(signal: BaseSignal) -> dict:
    """The usual first pictures of a 4D STEM data set.

    Parameters
    ----------
    signal : pyxem.signals.ElectronDiffraction2D
        Sparse or dense, any number of navigation axes; only the first two stay.

    Returns
    -------
    dict of numpy.ndarray
        ``pattern`` (y, x): sum pattern; ``counts``, ``bright_field``, ``dark_field`` (y, x);
        ``shift`` (y, x, 2): centre of mass (x, y) in pixels, its mean subtracted; ``radius`` and
        ``profile``: mean counts of a pixel by distance from the centre; ``centre`` (x, y) and
        ``radii``: of the bright-field disk, and inner and outer of the annulus, pixels.
    """
    if signal.axes_manager.navigation_dimension > 2:
        with step("Adding up the frames"):
            signal = signal.sum(axis=tuple(signal.axes_manager.navigation_axes[2:]))
    pattern_size = signal.axes_manager.signal_shape
    results = {}
    with step("Total counts and sum pattern"):
        results["counts"] = _image(signal.sum(axis=signal.axes_manager.signal_axes))
        results["pattern"] = np.asarray(_computed(signal.sum(axis=signal.axes_manager.navigation_axes)).data, float)
    centre, radius = beam_disk(results["pattern"])
    outer = min(4 * radius, min(pattern_size) / 2)
    results.update(centre=centre, radii=(radius, 1.5 * radius, outer))
    with step("Bright field and annular dark field: get_integrated_intensity"):
        x_axis, y_axis = signal.axes_manager.signal_axes
        middle = [axis.offset + axis.scale * c for axis, c in zip((x_axis, y_axis), centre, strict=True)]
        bright = hs.roi.CircleROI(*middle, radius * x_axis.scale)
        dark = hs.roi.CircleROI(*middle, outer * x_axis.scale, 1.5 * radius * x_axis.scale)
        results["bright_field"] = _image(signal.get_integrated_intensity(bright))
        results["dark_field"] = _image(signal.get_integrated_intensity(dark))
    with step("Centre of mass: get_direct_beam_position"):
        # within a mask, as for differential phase contrast: scattering far out is mostly noise here
        mask = (*centre, 1.5 * radius)
        shift = _computed(signal.get_direct_beam_position(method="center_of_mass", mask=mask))
        data = np.asarray(shift.data, float)
        results["shift"] = data - np.nanmean(data.reshape(-1, 2), axis=0)
    with step("Radial profile: get_azimuthal_integral1d"):
        results["radius"], results["profile"] = _radial_profile(results)
    return results


def _radial_profile(results: dict) -> tuple[np.ndarray, np.ndarray]:
    """Mean counts of a pixel by radius, from the sum pattern."""
    pattern = results["pattern"]
    mean = hs.signals.Signal2D(pattern / max(1, results["counts"].size))
    mean.set_signal_type("electron_diffraction")
    remember_geometries(mean)
    mean.calibration(center=tuple(results["centre"]))
    reach = min(pattern.shape) / 2
    profile = mean.get_azimuthal_integral1d(
        npt=min(128, int(reach)), radial_range=(0, reach), mean=True, show_progressbar=False
    )
    return profile.axes_manager.signal_axes[0].axis, np.asarray(profile.data, float)


def _computed(signal: BaseSignal) -> BaseSignal:
    if signal._lazy:
        signal.compute(show_progressbar=False)
    return signal


def _image(signal: BaseSignal) -> np.ndarray:
    data = np.asarray(_computed(signal).data, float)
    return np.atleast_2d(data)


def figure(results: dict, title: str) -> Figure:
    """One figure of the results of `analyse`."""
    fig, axes = plt.subplots(2, 3, figsize=(12, 7.6), layout="constrained")
    fig.suptitle(title)
    pattern = results["pattern"]
    picture = axes[0, 0].imshow(pattern + 1, norm=LogNorm(), cmap="magma")
    fig.colorbar(picture, ax=axes[0, 0], shrink=0.8, label="counts + 1")
    for r, colour in zip(results["radii"], ("cyan", "orange", "orange"), strict=True):
        axes[0, 0].add_patch(Circle(results["centre"], r, fill=False, color=colour, lw=1))
    axes[0, 0].set(title="Sum pattern", xlabel="detector x / px", ylabel="detector y / px")
    for ax, name, text in (
        (axes[0, 1], "counts", "Total counts"),
        (axes[0, 2], "bright_field", "Bright field"),
        (axes[1, 0], "dark_field", "Annular dark field"),
    ):
        picture = ax.imshow(results[name], cmap="gray", aspect=_aspect(results[name]))
        fig.colorbar(picture, ax=ax, shrink=0.8, label="counts")
        ax.set(title=text, xlabel="scan x / positions", ylabel="scan y / positions")
    _draw_shift(fig, axes[1, 1], results["shift"])
    positive = results["profile"] > 0
    axes[1, 2].semilogy(results["radius"][positive], results["profile"][positive])
    axes[1, 2].set(title="Radial profile", xlabel="radius / px", ylabel="mean counts per pixel")
    return fig


def _aspect(image: np.ndarray) -> str:
    """Square positions, unless that would leave a thread of a picture: columns are a free choice."""
    height, width = image.shape[:2]
    return "equal" if 1 / 3 < width / height < 3 else "auto"


def _draw_shift(fig: Figure, ax: Axes, shift: np.ndarray) -> None:
    """Direction as hue, length as brightness, with the wheel that tells which is which."""
    shift = np.nan_to_num(shift.reshape((-1,) + shift.shape[-2:]) if shift.ndim == 2 else shift)
    largest = np.percentile(np.hypot(shift[..., 0], shift[..., 1]), 99) or 1.0
    ax.imshow(_colours(shift[..., 0], shift[..., 1], largest, hsv_to_rgb), aspect=_aspect(shift))
    ax.set(
        title=f"Centre-of-mass shift (full colour {largest:.2f} px)",
        xlabel="scan x / positions",
        ylabel="scan y / positions",
    )
    y, x = np.mgrid[-1:1:65j, -1:1:65j]
    wheel = np.concatenate([_colours(x, y, 1, hsv_to_rgb), (np.hypot(x, y) <= 1)[..., None]], axis=-1)
    inset = ax.inset_axes([0.8, 0.8, 0.18, 0.18])
    inset.imshow(wheel)
    inset.axis("off")


def _colours(x: np.ndarray, y: np.ndarray, largest: float, hsv_to_rgb: Callable) -> np.ndarray:
    length = np.clip(np.hypot(x, y) / largest, 0, 1)
    hue = np.arctan2(y, x) / (2 * np.pi) % 1
    return hsv_to_rgb(np.stack([hue, np.ones_like(hue), length], axis=-1))
