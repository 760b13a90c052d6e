"""The set-up of a real recording in the words of wave and ray simulations, and back into a recording.

abTEM counts lengths in angstrom and energies in eV; its defocus is positive for underfocus (``-C10``), and its
arrays have x before y. temgym-core counts in metres and radians, with z along the beam. Neither is imported here:
the descriptions are plain numbers, to be passed to their classes.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts are loaded when they are used first: they cost more than most recordings do

from rsciio_tpx3.metadata.export import data_values, known_values, refuse_reversed
from rsciio_tpx3.metadata.mapping import missing
from rsciio_tpx3.metadata.sources.sidecars import sidecar_path
from rsciio_tpx3.metadata.template import sidecar_text
from rsciio_tpx3.simulate.recording import recording
from rsciio_tpx3.simulate.scan import SYNC_KINDS
from rsciio_tpx3.utils.files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsciio_tpx3.simulate.truth import Truth


__all__ = ["abtem_setup", "on_detector", "recording_like", "temgym_setup"]

_CHIP = re.compile(r"chip (\d+): x (\d+), y (\d+), (\w+)")
# what belongs to one recording and is not part of a set-up
_OF_ONE_RECORDING = ("date", "time", "time_zone", "title", "notes")


def abtem_setup(signal: Any) -> dict[str, dict]:
    """Arguments for abTEM that describe the set-up of a signal.

    Parameters
    ----------
    signal : HyperSpy signal or RosettaSciIO signal dictionary
        With beam energy, convergence angle and scan step, and a calibrated detector.

    Returns
    -------
    dict of dict
        ``probe`` (for ``abtem.Probe``: energy in eV, semiangle_cutoff in mrad, defocus in angstrom), ``scan`` (for
        ``abtem.GridScan``: start, end in angstrom, gpts; x before y) and ``detector`` (for
        ``abtem.PixelatedDetector``: max_angle in mrad, which reaches the corners).

    Raises
    ------
    ValueError
        If a quantity is not known.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> from rsciio_tpx3.simulate.twin import abtem_setup
    >>> s = hyperspy_sparse.data.disks()
    >>> known = {"beam_energy": "200 keV", "camera_length": "100 mm", "pixel_pitch": "55 um"}
    >>> s = hyperspy_sparse.set_microscope(s, **known, convergence_angle="20 mrad", scan_step="0.05 nm")
    >>> abtem_setup(s)["probe"]
    {'energy': 200000.0, 'semiangle_cutoff': 20.0, 'defocus': 0.0}
    """
    values = _known(signal, "abTEM")
    (ny, nx), sig_shape = _shapes(signal)
    y, x = _angles(values, sig_shape)
    overfocus = values.get("overfocus", 0.0)
    return {
        "probe": {
            "energy": values["beam_energy"] * 1e3,
            "semiangle_cutoff": values["convergence_angle"],
            "defocus": -overfocus * 10 if overfocus else 0.0,
        },
        "scan": {
            "start": (0.0, 0.0),
            "end": (nx * values["scan_step_x"] * 10, ny * values["scan_step_y"] * 10),
            "gpts": (nx, ny),
        },
        "detector": {"max_angle": float(np.hypot(np.abs(y).max(), np.abs(x).max()))},
    }


def temgym_setup(signal: Any) -> dict[str, dict]:
    """Arguments for temgym-core that describe the set-up of a signal.

    Parameters
    ----------
    signal : HyperSpy signal or RosettaSciIO signal dictionary

    Returns
    -------
    dict of dict
        ``source`` (for ``PointSource``), ``scan_grid`` (``ScanGrid``) and ``detector`` (``Detector``), in metres and
        radians, rotation in degrees. The crossover is at z = 0, the specimen below it by the overfocus, the detector
        by the camera length below the specimen. Pairs are ``(y, x)``, the detector's `centre` too: temgym-core 0.1
        names it ``CoordsXY``, but applies the first number to the rows. Its y points up where rows go down.

    Raises
    ------
    ValueError
        If a quantity is not known.
    """
    values = _known(signal, "TemGym")
    nav_shape, sig_shape = _shapes(signal)
    specimen = values.get("overfocus", 0.0) * 1e-9
    pitch = values["pixel_pitch"]
    centre = [
        ((n - 1) / 2 - values.get(name, (n - 1) / 2)) * pitch for n, name in zip(sig_shape, ("center_y", "center_x"))
    ]
    return {
        "source": {"z": 0.0, "semi_conv": values["convergence_angle"] * 1e-3},
        "scan_grid": {
            "z": specimen,
            "pixel_size": (values["scan_step_y"] * 1e-9, values["scan_step_x"] * 1e-9),
            "shape": nav_shape,
            "rotation": values.get("scan_rotation", 0.0),
        },
        "detector": {
            "z": specimen + values["camera_length"],
            "pixel_size": (pitch, pitch),
            "shape": sig_shape,
            "centre": tuple(centre),
            "flip_y": values.get("flip_y", False),
        },
    }


def on_detector(
    signal: Any, patterns: np.ndarray, sampling: Sequence[float], center: Sequence[float] | None = None
) -> np.ndarray:
    """Simulated patterns as the pixels of a real detector see them.

    Parameters
    ----------
    signal : HyperSpy signal or RosettaSciIO signal dictionary
        The real one, with camera length and pixel pitch.
    patterns : numpy.ndarray, shape (..., py, px)
        Intensity, such as abTEM's ``measurement.array`` with its axes transposed to ``[y, x, ky, kx]``.
    sampling : (float, float)
        mrad a pixel of `patterns`, ``(y, x)``.
    center : (float, float), optional
        Pixel ``(y, x)`` of the undiffracted beam; ``n // 2`` by default, as after ``fftshift``.

    Returns
    -------
    numpy.ndarray of float32, shape (..., height, width)
        Intensity that falls on each pixel: interpolated linearly, times the pixels' ratio of solid angles.
    """
    values = _known(signal, "simulated patterns")
    y, x = _angles(values, _shapes(signal)[1])
    py, px = patterns.shape[-2:]
    cy, cx = (py // 2, px // 2) if center is None else center
    places = np.meshgrid(y / sampling[0] + cy, x / sampling[1] + cx, indexing="ij")
    area = np.abs(np.mean(np.diff(y)) * np.mean(np.diff(x))) / (sampling[0] * sampling[1])
    made = np.empty((*patterns.shape[:-2], len(y), len(x)), np.float32)
    for index in np.ndindex(patterns.shape[:-2]):
        frame = np.asarray(patterns[index], float)
        made[index] = np.maximum(scipy.ndimage.map_coordinates(frame, places, order=1), 0) * area
    return made


def recording_like(
    path: str | os.PathLike, signal: Any, intensity: Any = None, overwrite: bool = False, **options: Any
) -> Truth:
    """Simulate a recording with the set-up and the metadata of a real one.

    Parameters
    ----------
    path : path-like
        Of the new recording. A file of the metadata is written next to it, which loading finds.
    signal : HyperSpy signal or RosettaSciIO signal dictionary
        The real one.
    intensity : array-like, optional
        What falls on the detector at each position, as for `rsciio_tpx3.simulate.recording`; `on_detector` makes
        it. The built-in specimen by default.
    overwrite : bool
        Replace files that are there.
    **options
        For `rsciio_tpx3.simulate.recording`, such as ``electrons_per_position=50``; these win over the signal.

    Returns
    -------
    Truth

    Raises
    ------
    FileExistsError
        If the recording or the file next to it exists, and `overwrite` is False.
    """
    sidecar = sidecar_path(path)
    for name in (os.fspath(path), sidecar):
        if os.path.exists(name) and not overwrite:
            raise FileExistsError(f"{name!r} exists. Write to another name, or pass overwrite=True.")
    values = known_values(signal)
    (ny, nx), _ = _shapes(signal)
    made = {"layout": _layout(values), "gap": values.get("gap", 0), "orientation": values.get("orientation", "up")}
    for name in ("tdc", "pattern"):
        if values.get(name) is not None:
            made[name] = values[name]
    if values.get("sync") in SYNC_KINDS:
        made["sync"] = values["sync"]
    if values.get("dwell_time") is not None:
        made["dwell_time"] = f"{values['dwell_time']!r} s"
    made.update(options)
    truth = recording(path, None if intensity is not None else (ny, nx), intensity=intensity, **made)
    described = {name: value for name, value in values.items() if name not in _OF_ONE_RECORDING}
    described.update(navigation_shape=[nx, ny], notes="Simulated.", layout=made["layout"], gap=made["gap"])
    write_text(sidecar, sidecar_text(described, "a simulated recording"))
    return truth


def _known(signal: Any, purpose: str) -> dict:
    refuse_reversed(signal)
    values = data_values(signal)
    lacking = missing(values, purpose)
    if lacking:
        raise ValueError(
            f"the set-up lacks {', '.join(lacking)}. Set it by hyperspy_sparse.set_microscope, or load with metadata=."
        )
    return values


def _shapes(signal: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """((ny, nx), (height, width)); of several frames over a scan, the scan."""
    shape = (signal["data"] if isinstance(signal, dict) else signal.data).shape
    if len(shape) < 4:
        raise ValueError(f"expected a scan with two axes; the data have the shape {shape}.")
    return tuple(shape[-4:-2]), tuple(shape[-2:])


def _angles(values: dict, sig_shape: tuple[int, ...]) -> list[np.ndarray]:
    """Scattering angle of each row and column in mrad, linear as the calibrated axes are."""
    scale = np.arctan(values["pixel_pitch"] / values["camera_length"]) * 1e3
    return [
        (np.arange(n) - values.get(name, (n - 1) / 2)) * scale for n, name in zip(sig_shape, ("center_y", "center_x"))
    ]


def _layout(values: dict) -> str | list[dict]:
    """Name, or table of chips, of the detector."""
    if values.get("layout") != "table":
        return values.get("layout", "quad")
    rows = [_CHIP.match(text) for text in values.get("layout_table", ())]
    if not rows or None in rows:
        raise ValueError("the detector's layout is a table that the metadata do not give. Pass layout=[...].")
    return [{"chip": int(m[1]), "x": int(m[2]), "y": int(m[3]), "orientation": m[4]} for m in rows]
