"""`phase`: the public function, from a signal to a picture of the phase."""

from __future__ import annotations

import logging
import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from dask.base import get_scheduler
from hyperspy.signals import Signal2D
from tqdm.dask import TqdmCallback

from hyperspy_sparse.arguments import described, need_signal, shows_progress
from hyperspy_sparse.phase_contrast.groups import make_groups
from hyperspy_sparse.phase_contrast.optics import Known, Optics, find_optics, turn_and_aberrations
from hyperspy_sparse.phase_contrast.tilted import (
    NODE,
    check_memory,
    check_scan,
    disk_of,
    groups_of_stack,
    summed,
)
from hyperspy_sparse.phase_contrast.transform import METHODS, phase_of_images, workspace
from rsciio_tpx3 import __version__
from rsciio_tpx3.metadata.provenance import note_analysis
from rsciio_tpx3.utils.checks import check_flag
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal

    from hyperspy_sparse.phase_contrast.groups import Groups


__all__ = ["ScanImages", "check_settings", "computed_images", "phase", "scan_picture", "stack_and_optics"]

_logger = logging.getLogger(__name__)

_TITLES = {
    "ssb": "Phase (single side band)",
    "obf": "Phase (optimum bright field)",
    "ls": "Phase (least squares)",
    "wdd": "Phase (Wigner distribution deconvolution)",
    "parallax": "Phase contrast (parallax)",
    "icom": "Phase (integrated centre of mass)",
}


def phase(
    signal: BaseSignal,
    method: str = "ssb",
    *,
    aberrations: dict | None = None,
    rotation: str | None = None,
    flip: bool | None = None,
    across: int = 16,
    upsampling: int = 1,
    eps: float | None = None,
    center: tuple[float, float] | None = None,
    radius: float | None = None,
    show_progressbar: bool | None = None,
) -> BaseSignal:
    """Phase of a thin specimen from a 4D STEM scan of its bright field.

    Parameters
    ----------
    signal : one of the sparse signal classes, or a stack of `tilted_images`
        With navigation axes (x, y). Of a repeated scan take `align_frames` first.
    method : {"ssb", "obf", "ls", "wdd", "parallax", "icom"}
        Single side band; optimum bright field; least squares; Wigner distribution deconvolution; parallax (tilted
        images moved to where they belong, for defocused probes); integrated centre of mass of the disk.
    aberrations : dict, optional
        ``{"C10": "-20 nm", "C12": "3 nm", "phi12": "30 deg"}`` and C21, phi21, C23, phi23, C30. C10 is positive for
        overfocus. The overfocus of the metadata where omitted, none where there is none.
    rotation : quantity, optional
        Turn of the scan against the detector, as ``scan_rotation`` of the metadata, which is used where omitted:
        "-12.5 deg". Positive from x to y.
    flip : bool, optional
        Whether the detector is mirrored top to bottom before it is turned; ``flip_y`` of the metadata by default.
    across : int
        Groups of pixels along the diameter of the disk, see `tilted_images`.
    upsampling : int
        Pixels of the result in a scan step: of use where a scan is coarser than what the aperture resolves.
    eps : float, optional
        For "ls" and "wdd", noise power over signal power: larger is smoother. Found in the data where omitted.
    center, radius : optional
        Of the disk in pixels, see `tilted_images`.
    show_progressbar : bool, optional
        HyperSpy's preference by default.

    Returns
    -------
    hyperspy.signals.Signal2D
        In memory, with the scan axes as signal axes; rad, mean 0. ``metadata.Phase`` has the settings. "ls" and
        "wdd" give the phase itself as far as the aperture transfers it; "ssb", "obf" and "icom" damp fine detail as
        their transfer functions do; "parallax" is contrast in the sense of the phase, and not quantitative.

    Raises
    ------
    ValueError
        If the metadata lack something (the message has the line that sets it), or an argument makes no sense.
    UnitError
        For a quantity without a unit, or with a wrong one.
    hyperspy_sparse.DenseMemoryError
        If it would need more memory than the limit, before any work.

    Notes
    -----
    The scan is taken as periodic, so opposite borders see each other. Electrons beyond the disk are not used.

    References
    ----------
    .. [1] J. M. Rodenburg, R. H. T. Bates, Phil. Trans. R. Soc. A 339, 521 (1992).
    .. [2] T. J. Pennycook et al., Ultramicroscopy 151, 160 (2015).
    .. [3] K. Ooe et al., Ultramicroscopy 220, 113133 (2021).
    .. [4] I. Lazić, E. G. T. Bosch, S. Lazar, Ultramicroscopy 160, 265 (2016).

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.phase_object(electrons=200)
    >>> hyperspy_sparse.phase(s, method="ssb")
    <Signal2D, title: Phase (single side band), dimensions: (|44, 36)>
    """
    check_settings(method, upsampling, eps)
    check_flag("show_progressbar", show_progressbar)
    stack, groups, optics = stack_and_optics(
        signal, f"phase(method={method!r})", across, center, radius, aberrations, rotation, flip
    )
    if method == "parallax" and not optics.aberrations.get("C10"):
        raise ValueError(
            'phase(method="parallax") needs a defocused probe, but C10 is 0. Pass it, aberrations={"C10": "50 nm"}, '
            'or set_microscope(s, overfocus="50 nm"); fit_aberrations(s) finds it.'
        )
    shape = stack.data.shape[-2:]
    # What all steps need follows from the shapes, before anything is read.
    needed = workspace(len(groups), shape, stack.data.dtype.itemsize, int(upsampling), method)
    hint = "Crop the scan (s.inav), take fewer groups (across=10) or a lower upsampling."
    check_memory(needed, f"phase of {shape[1]} x {shape[0]} positions in {len(groups)} groups", hint)
    images = computed_images(stack, show_progressbar)
    values, used = phase_of_images(images, groups, optics, method, int(upsampling), eps)
    settings = _settings(method, groups, optics, int(upsampling), used)
    noted = note_analysis(stack.metadata, "phase", "hyperspy_sparse", settings)
    stack = ScanImages(stack.data, stack.axes, noted)
    picture = scan_picture(stack, values, int(upsampling), _TITLES[method], "Phase (rad)")
    if method == "parallax":
        picture.metadata.Signal.quantity = "Phase contrast"
    picture.metadata.set_item("Phase", settings)
    return picture


def check_settings(method: Any, upsampling: Any, eps: Any) -> None:
    """Refuse settings of `phase` that are not valid."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method={shown(method)} is not valid: must be one of {', '.join(map(repr, METHODS))}.")
    if not is_whole(upsampling, 1, 64):
        raise ValueError(f"upsampling={shown(upsampling)}: expected an integer from 1 to 64.")
    if eps is None:
        return
    if method not in ("ls", "wdd"):
        raise ValueError(f'eps is for "ls" and "wdd"; method={method!r} has nothing to regularise.')
    real = isinstance(eps, (int, float, np.integer, np.floating)) and not isinstance(eps, bool)
    if not real or not 0 < eps < math.inf:
        raise ValueError(f"eps={shown(eps)}: expected a positive number, noise power over signal power.")


def stack_and_optics(
    signal: BaseSignal,
    what: str,
    across: int,
    center: Any,
    radius: Any,
    aberrations: Any,
    rotation: Any,
    flip: Any,
) -> tuple[ScanImages, Groups, Optics]:
    """Tilted images of a signal, or those that it is; their groups; and the geometry."""
    need_signal(signal)
    groups = groups_of_stack(signal)
    # A stack of tilted images: its groups and its disk are those that it was made with.
    if groups is not None:
        if center is not None or radius is not None:
            raise ValueError(f"{what}: center and radius were those of tilted_images when this stack was made.")
        if signal.data.ndim != 3 or signal.data.shape[0] != len(groups):
            raise ValueError(
                f"{what}: {signal} is a part of a stack of {len(groups)} tilted images. Crop the scan before "
                "tilted_images, and choose a frame by inav after it."
            )
        known = Known.of(signal, signal.metadata.get_item(NODE).as_dictionary())
        known.require(what)
        images = ScanImages(signal.data, signal.axes_manager.signal_axes[::-1], signal.metadata.as_dictionary())
        return images, groups, find_optics(known, groups.disk.radius, aberrations, rotation, flip)
    check_scan(signal, what)
    if signal.axes_manager.navigation_dimension > 2:
        raise ValueError(
            f"{what}: {signal} has more axes than a scan (x, y). Add up its frames where they belong, s = "
            "hyperspy_sparse.align_frames(s), or choose one, s.inav[..., 0]."
        )
    # what is missing or wrong is said before the data are read
    known = Known.of(signal)
    known.require(what)
    turn_and_aberrations(known, aberrations, rotation, flip)
    disk = disk_of(signal, center, radius)
    groups = make_groups(disk, signal.data.shape[-2:], across)
    images = ScanImages(
        summed(signal, groups), signal.axes_manager.navigation_axes[::-1], signal.metadata.as_dictionary()
    )
    return images, groups, find_optics(known, disk.radius, aberrations, rotation, flip)


class ScanImages(NamedTuple):
    """Tilted images without the signal around them, which takes as long to make as all the rest of a small scan.

    Attributes
    ----------
    data : dask.array.Array or numpy.ndarray, shape (groups, ny, nx)
    axes : tuple of hyperspy.axes.UniformDataAxis
        Of the scan, (y, x).
    metadata : dict
        Of the signal.
    """

    data: Any
    axes: tuple
    metadata: dict


def computed_images(stack: ScanImages, show_progressbar: bool | None = None) -> np.ndarray:
    """The images in memory, shape (groups, ny, nx)."""
    if isinstance(stack.data, np.ndarray):
        return stack.data
    show = shows_progress(show_progressbar)
    # threads take longer to start than a single block to be read; a cluster or a choice of the user stays
    alone = {"scheduler": "synchronous"} if stack.data.npartitions == 1 and get_scheduler() is None else {}
    with TqdmCallback() if show else nullcontext():
        return np.asarray(stack.data.compute(**alone))


def scan_picture(stack: ScanImages, values: np.ndarray, upsampling: int, title: str, quantity: str) -> BaseSignal:
    """A signal in memory with the scan axes of a stack as signal axes; their steps divided by `upsampling`."""
    axes = []
    for axis in stack.axes:
        finer = {"size": axis.size * upsampling, "scale": axis.scale / upsampling}
        axes.append(described(axis, navigate=False) | finer)
    picture = Signal2D(values, axes=axes)
    # What describes the measurement; HyperSpy makes the nodes of the signal itself.
    tree = stack.metadata
    picture.metadata.add_dictionary(
        {key: tree[key] for key in ("Acquisition_instrument", "Sample", "General") if key in tree}
    )
    picture.metadata.General.title = title
    picture.metadata.set_item("Signal.quantity", quantity)
    return picture


def _settings(method: str, groups: Groups, optics: Optics, upsampling: int, used: dict[str, Any]) -> dict[str, Any]:
    """What a phase was made with, as a node of the metadata; units stand next to the values."""
    about = {
        "method": method,
        "groups": len(groups),
        "upsampling": upsampling,
        "electrons_per_position": used["electrons"],
        "beam_energy": optics.beam_energy,
        "beam_energy_units": "keV",
        "semi_angle": optics.semi_angle,
        "semi_angle_units": "mrad",
        "pixel_angle": optics.pixel_angle,
        "pixel_angle_units": "mrad",
        "center": [groups.disk.x, groups.disk.y],
        "radius": groups.disk.radius,
        "rotation": optics.rotation,
        "rotation_units": "deg",
        "flip": optics.flip,
        "software": f"hyperspy_sparse {__version__}",
    }
    if "eps" in used:
        about["eps"] = used["eps"]
    if optics.aberrations:
        units = {f"{name}_units": "nm" if name.startswith("C") else "deg" for name in optics.aberrations}
        about["Aberrations"] = {**optics.aberrations, **units}
    return about
