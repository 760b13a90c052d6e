"""What a phase needs to know of the microscope: read from the metadata, checked, in one dataclass.

Coordinates are those of the scan, x to the right and y down, as positions are numbered. The detector may be turned
and mirrored against them: `Optics.to_scan` follows LiberTEM's model of an experiment, in which the scan is turned
against the detector by `scan_rotation` (positive from x to y, clockwise as pictures are shown), and the detector is
mirrored top to bottom before (``flip_y``).
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.metadata.calibration import axis_kind, detector_scale, in_unit, wavelength
from rsciio_tpx3.metadata.export import data_values, known_values, refuse_reversed
from rsciio_tpx3.utils.checks import check_flag
from rsciio_tpx3.utils.units import shown, to_plain

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = [
    "ABERRATIONS",
    "Known",
    "Optics",
    "cartesian",
    "find_optics",
    "turn_and_aberrations",
    "read_aberrations",
    "read_rotation",
]

_logger = logging.getLogger(__name__)

ABERRATIONS = ("C10", "C12", "phi12", "C21", "phi21", "C23", "phi23", "C30")
"""Defocus (positive for overfocus), twofold astigmatism, coma, threefold astigmatism, spherical aberration."""

_LENGTHS = tuple(name for name in ABERRATIONS if name.startswith("C"))
_FAR = 0.05  # semi-angle and camera length may differ by so much

# what to write for a quantity that is missing
_LINES = {
    "beam_energy": 'beam_energy="200 keV"',
    "convergence_angle": 'convergence_angle="20 mrad"',
    "scan_step": 'scan_step="0.05 nm"',
}


@dataclass(frozen=True)
class Optics:
    """Geometry of an experiment.

    Attributes
    ----------
    beam_energy : float
        keV.
    semi_angle : float
        Convergence semi-angle in mrad.
    scan_step : (float, float)
        Along y and x, nm.
    pixel_angle : float
        Of a detector pixel of the data, mrad.
    rotation : float
        Turn of the scan against the detector in degrees, see the module.
    flip : bool
        Whether the detector is mirrored top to bottom against the scan.
    aberrations : dict of str to float
        Of `ABERRATIONS`: lengths in nm, angles in degrees, from x to y of the scan. What is absent is zero.
    """

    beam_energy: float
    semi_angle: float
    scan_step: tuple[float, float]
    pixel_angle: float
    rotation: float = 0.0
    flip: bool = False
    aberrations: dict = field(default_factory=dict)

    @property
    def wavelength(self) -> float:
        """Of the electrons, nm."""
        return wavelength(self.beam_energy) * 1e9

    @property
    def coefficients(self) -> np.ndarray:
        """The aberrations as `cartesian` gives them."""
        return cartesian(self.aberrations, self.wavelength)

    def to_scan(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Directions on the detector, from its centre, in the coordinates of the scan: ``(y, x)``."""
        y = -np.asarray(y) if self.flip else np.asarray(y)
        cosine, sine = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        return cosine * y - sine * x, sine * y + cosine * x

    def angles(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels from the centre of the detector as angles ``(y, x)`` in rad, in the coordinates of the scan."""
        y, x = self.to_scan(y, x)
        return y * self.pixel_angle * 1e-3, x * self.pixel_angle * 1e-3


def cartesian(aberrations: dict, wavelength_nm: float) -> np.ndarray:
    """Aberrations as coefficients of polynomials in the angles along x and y, times 2 pi over the wavelength.

    Parameters
    ----------
    aberrations : dict of str to float
        nm and degrees.
    wavelength_nm : float

    Returns
    -------
    numpy.ndarray of float64, shape (8,)
        C10, C12 along x and along the diagonal, C21 along x and y, C23 along x and y, C30.

    Examples
    --------
    >>> import numpy as np
    >>> from hyperspy_sparse.phase_contrast.optics import cartesian
    >>> np.round(cartesian({"C12": 3.0, "phi12": 45.0}, 2 * np.pi), 6).tolist()
    [0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    value = {name: float(aberrations.get(name, 0.0)) for name in ABERRATIONS}
    found = [value["C10"]]
    for name, order in (("12", 2), ("21", 1), ("23", 3)):
        turn = math.radians(value[f"phi{name}"]) * order
        found += [value[f"C{name}"] * math.cos(turn), value[f"C{name}"] * math.sin(turn)]
    return np.array([*found, value["C30"]]) * 2 * np.pi / wavelength_nm


def read_aberrations(user_input: Any) -> dict[str, float]:
    """Aberrations as a user writes them, in nm and degrees.

    Parameters
    ----------
    user_input : dict of str to quantity, or None
        Such as ``{"C10": "-20 nm", "C12": "3 nm", "phi12": "30 deg"}``.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ValueError
        For what is not a dictionary, an unknown name, or an angle without its length.
    UnitError
        For a quantity without a unit, or with a wrong one.

    Examples
    --------
    >>> from hyperspy_sparse.phase_contrast.optics import read_aberrations
    >>> read_aberrations({"C10": "-0.02 um", "C30": "1 mm"})
    {'C10': -20.0, 'C30': 1000000.0}
    """
    if user_input is None:
        return {}
    if not isinstance(user_input, dict):
        raise ValueError(f'aberrations={shown(user_input)}: expected a dictionary such as {{"C10": "-20 nm"}}.')
    found = {}
    for name, value in user_input.items():
        if name not in ABERRATIONS:
            raise ValueError(f"aberrations: {shown(name)} is not valid: must be one of {', '.join(ABERRATIONS)}.")
        unit, example = ("nm", "-20 nm") if name in _LENGTHS else ("deg", "30 deg")
        found[name] = to_plain(value, unit, name, example)[0]
    for name in found:
        if name.startswith("phi") and f"C{name[3:]}" not in found:
            raise ValueError(f"aberrations: {name} is the direction of C{name[3:]}, which is missing.")
    return found


def read_rotation(user_input: Any) -> float | None:
    """A rotation as a user writes it, in degrees; a number without a unit is refused."""
    return None if user_input is None else to_plain(user_input, "deg", "rotation", "-12.5 deg")[0]


@dataclass(frozen=True)
class Known:
    """What metadata and axes of a signal, or of a stack of tilted images, say of the geometry; None is not known.

    Attributes
    ----------
    values : dict
        By the names of `rsciio_tpx3.metadata.mapping.LEAVES`.
    steps : (float or None, float or None)
        Scan step along y and x, nm.
    pixel_angle : float or None
        Of a pixel of the data by the axes or the camera length, mrad.
    source : str
        Which of both.
    """

    values: dict
    steps: tuple[float | None, float | None]
    pixel_angle: float | None
    source: str

    @classmethod
    def of(cls, signal: BaseSignal, stack: dict | None = None) -> Known:
        """Of a signal with detector axes, or of one with the metadata node of a `stack`."""
        if stack is None:
            refuse_reversed(signal)
            values = data_values(signal)
            steps = values.get("scan_step_y"), values.get("scan_step_x")
            return cls(values, steps, *_scale(signal, values))
        values = known_values(signal.metadata.as_dictionary())
        recorded = values.get("scan_step_y"), values.get("scan_step_x")
        steps = tuple(map(_step, signal.axes_manager.signal_axes[::-1], recorded))
        return cls(values, steps, stack.get("pixel_angle"), stack.get("pixel_angle_by", ""))

    def require(self, what: str) -> None:
        """Raise ValueError with the line that sets what is missing."""
        lacking = [] if self.values.get("beam_energy") is not None else ["beam_energy"]
        lacking += [] if None not in self.steps else ["scan_step"]
        semi_angle = self.values.get("convergence_angle")
        if semi_angle is None and self.pixel_angle is None:
            lacking.append("convergence_angle")
        if lacking:
            lines = ", ".join(_LINES[name] for name in lacking)
            hint = " (or camera_length and pixel_pitch)" if "convergence_angle" in lacking else ""
            raise ValueError(
                f"{what} needs {', '.join(lacking)}{hint}, which the metadata do not contain. Set for example "
                f"hyperspy_sparse.set_microscope(s, {lines})."
            )
        if semi_angle == 0:
            raise ValueError(
                f"{what} needs a convergent beam; convergence_angle is 0 mrad. Correct it by set_microscope."
            )


def find_optics(known: Known, radius: float, aberrations: Any = None, rotation: Any = None, flip: Any = None) -> Optics:
    """The geometry from metadata, arguments and the radius of the disk.

    Parameters
    ----------
    known : Known
        With all that it requires.
    radius : float
        Of the bright-field disk in pixels; where semi-angle and scale are both known they should agree with it.
    aberrations, rotation, flip
        As in `phase`; None takes overfocus, scan rotation and flip from the metadata, 0 where these are not known.

    Returns
    -------
    Optics

    Raises
    ------
    ValueError, UnitError
        For arguments that make no sense.
    """
    values, scale, semi_angle = known.values, known.pixel_angle, known.values.get("convergence_angle")
    if semi_angle is None:
        semi_angle, pixel_angle = radius * scale, scale
    else:
        pixel_angle = semi_angle / radius
        if scale is not None and abs(math.log(pixel_angle / scale)) > _FAR:
            _logger.warning(
                f"The disk has a radius of {radius:.1f} px, {radius * scale:.2f} mrad by {known.source}, but "
                f"convergence_angle is {semi_angle:.2f} mrad. The latter is used, with {pixel_angle:.4g} mrad per "
                "pixel; correct what is wrong by set_microscope."
            )
    return Optics(
        beam_energy=float(values["beam_energy"]),
        semi_angle=float(semi_angle),
        scan_step=(float(known.steps[0]), float(known.steps[1])),
        pixel_angle=float(pixel_angle),
        **turn_and_aberrations(known, aberrations, rotation, flip),
    )


def turn_and_aberrations(known: Known, aberrations: Any, rotation: Any, flip: Any) -> dict:
    """Rotation, flip and aberrations from the arguments, else from the metadata, else zero."""
    values = known.values
    if flip is not None:
        check_flag("flip", flip)
    turned = read_rotation(rotation)
    if aberrations is None:
        coefficients = {"C10": float(values["overfocus"])} if values.get("overfocus") else {}
    else:
        coefficients = read_aberrations(aberrations)
    return {
        "rotation": float(values.get("scan_rotation", 0.0) if turned is None else turned),
        "flip": bool(values.get("flip_y", False) if flip is None else flip),
        "aberrations": coefficients,
    }


def _plain(axis: Any) -> dict:
    plain = {key: getattr(axis, key) for key in ("name", "scale", "offset", "units")}
    return {**plain, "units": plain["units"] if isinstance(plain["units"], str) else ""}


def _step(axis: Any, recorded: float | None) -> float | None:
    """Scan step of an axis in nm; of one that counts positions by the `recorded` step; None where it is not known."""
    plain = _plain(axis)
    kind = axis_kind(plain)
    if kind == "length":
        return abs(in_unit(plain, "nm"))
    return abs(recorded * axis.scale) if kind == "pixels" and recorded is not None else None


def _scale(signal: BaseSignal, values: dict) -> tuple[float | None, str]:
    """mrad per pixel of the data, by the axes if they have an angle or a reciprocal length; and who says so."""
    plain = _plain(signal.axes_manager.signal_axes[0])
    try:
        kind = axis_kind(plain)
    except UnitError:
        kind = "other"
    if kind == "angle":
        return abs(in_unit(plain, "mrad")), "the detector axes"
    if kind == "k" and values.get("beam_energy") is not None:
        return abs(in_unit(plain, "1/nm")) * wavelength(values["beam_energy"]) * 1e12, "the detector axes"
    found = detector_scale(values, "auto")
    return (None, "") if found is None else (found[0], "camera_length and pixel_pitch")
