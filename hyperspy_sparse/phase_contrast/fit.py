"""Defocus, astigmatism, and the turn between scan and detector, from the electrons themselves."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import polar
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize
from scipy.signal.windows import tukey

from hyperspy_sparse.phase_contrast import loops
from hyperspy_sparse.phase_contrast.image import computed_images, stack_and_optics
from hyperspy_sparse.phase_contrast.tilted import check_memory
from hyperspy_sparse.phase_contrast.transform import (
    Frequencies,
    gathered_spectra,
    noise_of_images,
    phase_of_images,
    workspace,
)
from rsciio_tpx3.utils.checks import check_flag
from rsciio_tpx3.utils.threads import spread, thread_count
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal

    from hyperspy_sparse.phase_contrast.groups import Groups
    from hyperspy_sparse.phase_contrast.optics import Optics


__all__ = ["AberrationFit", "fit_aberrations"]

_logger = logging.getLogger(__name__)

_MOST_FREQUENCIES = 3000
_COARSE_FREQUENCIES = 400  # for the first look, below the aperture: the summits are wider there
_TURNS = 8.0  # degrees between tries of the rotation
_DEFOCI = 40  # tries of a defocus on either side
_CANDIDATES = 6
_ORDERS = {"C10": ("C10",), "C12": ("a12", "b12"), "C21": ("a21", "b21"), "C23": ("a23", "b23"), "C30": ("C30",)}


class AberrationFit(dict):
    """What `fit_aberrations` found: keyword arguments of `phase`, and how well they are known.

    Attributes
    ----------
    errors : dict of str to float
        One standard deviation of each quantity: nm, and degrees for `rotation` and the directions.
    residual : float
        Share of the power of the images, noise taken off, that no weak phase object explains with this fit. Large
        where the specimen is thick, or aberrations of higher order matter.
    witnesses : dict of str to float
        The same found in other ways. `curl_rotation`: the turn (up to half a turn) at which the centre of mass has
        the least curl; `curl`: the share of it that is left, 0 for a clear answer, 0.5 for none (noise, or a defocus
        that blurs the deflections). `shift_C10`, `shift_rotation`: from the displacements of
        the tilted images, by polar decomposition, with their scatter `shift_rms` (nm).
    decided_by : str
        What chose between this fit and its twin with the opposite C10 and half a turn more, which explains the same
        images with the opposite phase: "rotation", "overfocus" (of the metadata), or "peaks" (atoms are positive).
    """

    def __init__(self, values: dict, errors: dict, residual: float, witnesses: dict, decided_by: str) -> None:
        super().__init__(values)
        self.errors, self.residual, self.witnesses, self.decided_by = errors, residual, witnesses, decided_by


def fit_aberrations(
    signal: BaseSignal,
    orders: tuple[str, ...] = ("C10", "C12"),
    *,
    rotation: str | None = None,
    flip: bool | None = None,
    across: int = 12,
    center: tuple[float, float] | None = None,
    radius: float | None = None,
    show_progressbar: bool | None = None,
) -> AberrationFit:
    """Find low aberrations and the orientation of the detector from a scan.

    Parameters
    ----------
    signal : one of the sparse signal classes, or a stack of `tilted_images`
    orders : tuple of str
        Of "C10", "C12", "C21", "C23", "C30". C10 is always found.
    rotation : quantity, optional
        Where it is known, "-12.5 deg"; it is not fitted then. The one of the metadata is not believed, but chooses
        between the two fits half a turn apart.
    flip : bool, optional
        Where it is known. Else both are tried.
    across, center, radius, show_progressbar
        As in `phase`.

    Returns
    -------
    AberrationFit
        ``{"aberrations": {"C10": "-20.1 nm", ...}, "rotation": "-12.4 deg", "flip": False}``, so that
        ``phase(s, **fit)`` uses it.

    Raises
    ------
    ValueError
        If the metadata lack something, or an argument makes no sense.

    Notes
    -----
    The fit is the one of largest likelihood: at each frequency of the object the images of all groups follow from one
    number, the object's, and the aberrations; the power that the best number explains, summed over the strongest
    frequencies, is the likelihood. It uses the displacements of the images as well as their contrast, so it needs no
    large defocus. Images alone cannot distinguish overfocus from underfocus with half a turn between scan and detector;
    see `AberrationFit.decided_by`.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.phase_object(electrons=400, defocus=-15)
    >>> fit = hyperspy_sparse.fit_aberrations(s, rotation="0 deg", flip=False, across=8)
    >>> abs(float(fit["aberrations"]["C10"].split()[0]) + 15) < 1.5
    True
    >>> hyperspy_sparse.phase(s, "ls", **fit)
    <Signal2D, title: Phase (least squares), dimensions: (|44, 36)>
    """
    names = _parameters(orders)
    check_flag("show_progressbar", show_progressbar)
    what = "fit_aberrations"
    stack, groups, optics = stack_and_optics(signal, what, across, center, radius, {}, rotation, flip)
    shape = stack.data.shape[-2:]
    needed = workspace(len(groups), shape, stack.data.dtype.itemsize, 1, "obf") + len(groups) * math.prod(shape) * 8
    check_memory(needed, f"{what} of {shape[1]} x {shape[0]} positions", "Crop the scan (s.inav), or across=8.")
    images = computed_images(stack, show_progressbar)
    problem, coarse = _Problem.of(images, groups, optics)
    flips = (bool(flip),) if flip is not None else (False, True)
    near = signal.metadata.get_item("Acquisition_instrument.TEM.overfocus")
    turned = [] if rotation is not None else ["rotation"]
    starts = [start for mirrored in flips for start in coarse.starts(mirrored, not turned, near)]
    # the best few on a coarse grid: which of them is the summit is seen from nearby
    starts = sorted(starts, key=lambda start: -start.likelihood)[:_CANDIDATES]
    climbed = [coarse.climbed(start, ["C10", "a12", "b12", *turned], 30) for start in starts]
    best = max(climbed, key=lambda start: problem.likelihood(start.values, start.flip))
    found = problem.climbed(best, [*names, *turned], 150)
    free = [*names, *turned]
    covariance = problem.covariance(found, free)
    found, decided_by = _decided(signal, found, rotation, images, problem)
    curl = _curl_witness(images, groups, optics, found.flip)
    return _described(found, free, covariance, problem, curl, decided_by)


def _parameters(orders: Any) -> list[str]:
    requested = (orders,) if isinstance(orders, str) else orders
    if not isinstance(requested, (tuple, list)) or any(name not in _ORDERS for name in requested):
        raise ValueError(f"orders={shown(orders)}: expected some of {', '.join(_ORDERS)}.")
    return [part for name in _ORDERS if name in ("C10", *requested) for part in _ORDERS[name]]


@dataclass(frozen=True)
class _Found:
    """A point of the search: Cartesian aberrations in nm, the rotation in degrees, and its likelihood."""

    values: dict
    flip: bool
    likelihood: float


@dataclass(frozen=True)
class _Problem:
    """Spectra of the strongest frequencies, and what it takes to explain them."""

    spectra: np.ndarray
    qy: np.ndarray
    qx: np.ndarray
    fraction: np.ndarray
    eps: np.ndarray
    independent: float
    groups: Groups
    all_groups: Groups
    optics: Optics

    @property
    def depth_of_focus(self) -> float:
        """nm."""
        return self.optics.wavelength / (self.optics.semi_angle * 1e-3) ** 2

    @classmethod
    def of(cls, images: np.ndarray, groups: Groups, optics: Optics) -> tuple[_Problem, _Problem]:
        """All strong frequencies, and the strongest of the low ones."""
        totals = images.reshape(len(images), -1).sum(axis=1, dtype=np.float64)
        used = totals > 0
        if np.count_nonzero(used) < 6:
            raise ValueError("fit_aberrations: fewer than six tilted images have counts. Check center and radius.")
        electrons, fraction = totals.sum() / images[0].size, totals / totals.sum()
        # Beyond twice the aperture its copies do not overlap, so nothing is transferred.
        limit = 2 * optics.semi_angle * 1e-3
        images, independent = _windowed(images)
        frequencies = Frequencies.of(images.shape[1:], optics, 1, limit)
        if len(frequencies) < 20:
            raise ValueError("fit_aberrations: the scan is too small: expected 16 x 16 positions or more.")
        spectra = gathered_spectra(images, electrons, frequencies, slice(None))[:, used]
        power = (np.abs(spectra) ** 2 / fraction[used]).sum(axis=1)
        # The coarse search has low frequencies alone: their phases turn slowly with defocus, so the summit is broad.
        low = np.hypot(frequencies.y, frequencies.x) < limit / 2
        chosen = replace(groups, y=groups.y[used], x=groups.x[used], pixels=groups.pixels[used])
        noise = noise_of_images(images, electrons, groups, optics)
        # In units of the noise, as `loops.log_likelihood` expects; single precision, as the spectra are.
        spectra /= np.float32(math.sqrt(noise))
        power /= noise
        eps = _noise_over_signal(power - np.count_nonzero(used), np.hypot(frequencies.y, frequencies.x) / limit)
        made = []
        for most, candidates in ((_MOST_FREQUENCIES, power), (_COARSE_FREQUENCIES, np.where(low, power, -1.0))):
            best = np.sort(np.argsort(candidates)[::-1][:most])
            best = best[candidates[best] >= 0]
            parts = frequencies.y[best], frequencies.x[best], fraction[used], eps[best], independent
            made.append(cls(np.ascontiguousarray(spectra[best]), *parts, chosen, groups, optics))
        return made[0], made[1]

    def likelihood(self, values: dict, flip: bool) -> float:
        """Logarithm of that of these aberrations and this orientation."""
        return float(self.likelihoods(values, flip).sum())

    def likelihoods(self, values: dict, flip: bool) -> np.ndarray:
        """The same of each frequency."""
        optics = replace(self.optics, rotation=values.get("rotation", self.optics.rotation), flip=flip)
        y, x = optics.angles(self.groups.y, self.groups.x)
        y, x, c = np.ascontiguousarray(y), np.ascontiguousarray(x), _coefficients(values, optics.wavelength)
        limit, edge = optics.semi_angle * 1e-3, self.groups.width * optics.pixel_angle * 1e-3
        # Frequencies are independent: each thread has its own, and its own part of the result.
        cuts = np.linspace(0, len(self.qx), thread_count() + 1).astype(int)
        out = np.empty(len(self.qx))

        def part(span: tuple[int, int]) -> None:
            here = slice(*span)
            frequencies = self.qx[here], self.qy[here]
            loops.log_likelihood(
                self.spectra[here], x, y, self.fraction, *frequencies, c, limit, edge, self.eps[here], out[here]
            )

        for _ in spread(part, list(zip(cuts[:-1], cuts[1:])), thread_count()):
            pass
        return out

    def explained(self, found: _Found) -> float:
        """Power of the spectra that the best object at each frequency explains."""
        free = replace(self, eps=np.full(len(self.eps), 1e-6))
        twice = replace(self, eps=free.eps, spectra=np.float32(math.sqrt(2)) * self.spectra)
        # the term without the spectra is the same in both
        return twice.likelihood(found.values, found.flip) - free.likelihood(found.values, found.flip)

    def starts(self, flip: bool, is_turned: bool, near: float | None) -> list[_Found]:
        """The best defocus for each of a row of rotations; those of half a turn more explain the same."""
        alpha = self.optics.semi_angle * 1e-3
        step = self.depth_of_focus / 1.5
        # A defocus that moves an image by more than the field cannot be distinguished from a smaller one.
        field = self.optics.wavelength / np.hypot(self.qy, self.qx).min()
        most = int(np.clip(field / (2 * alpha) / step, 4, _DEFOCI))
        defoci = np.arange(-most, most + 1) * step
        if near and abs(near) > most * step:
            known = abs(near) * np.arange(0.7, 1.3, max(step / abs(near), 0.02))
            defoci = np.concatenate([defoci, known, -known])
        turns = [self.optics.rotation] if is_turned else np.arange(-90, 90, _TURNS).tolist()
        found = []
        for turn in turns:
            tried = [self.likelihood({"C10": value, "rotation": turn}, flip) for value in defoci]
            best = int(np.argmax(tried))
            found.append(_Found({"C10": float(defoci[best]), "rotation": turn}, flip, tried[best]))
        return found

    def climbed(self, start: _Found, free: list[str], each: int) -> _Found:
        """The summit near a start, after at most `each` steps for every free parameter."""
        scales = np.array([self._scale(name) for name in free])
        # In steps of about a radian at the edge of the aperture, so that all parameters weigh alike.
        first = np.array([start.values.get(name, 0.0) for name in free]) / scales
        options = {
            "xatol": 1e-3,
            "fatol": 1e-3,
            "maxfev": each * len(free),
            # SciPy's own simplex has steps of 5 % of each start value, and of 0.00025 for a zero.
            "initial_simplex": np.vstack([first, first + np.eye(len(free))]),
        }
        lost = self._loss(start, free, scales)
        found = minimize(lost, first, method="Nelder-Mead", options=options)
        values = {**start.values, **dict(zip(free, (found.x * scales).tolist()))}
        return replace(start, values=values, likelihood=-float(found.fun))

    def covariance(self, found: _Found, free: list[str]) -> np.ndarray:
        """Of the free parameters at a summit of the likelihood.

        From its curvature and from the scatter of its slope over the frequencies: the curvature alone, which holds
        for the very model, promises too much by half.
        """
        scales = np.array([self._scale(name) for name in free])
        at = np.array([found.values[name] for name in free]) / scales
        bread = np.linalg.pinv(_hessian(self._loss(found, free, scales), at))
        step, slopes = 0.05, []
        for i in range(len(free)):
            ends = []
            for sign in (1, -1):
                point = at + sign * step * np.eye(len(free))[i]
                ends.append(self.likelihoods({**found.values, **dict(zip(free, point * scales))}, found.flip))
            slopes.append((ends[0] - ends[1]) / (2 * step))
        # Neighbouring frequencies share noise by the window: fewer of them are independent than there are.
        scatter = np.array(slopes) @ np.array(slopes).T / self.independent
        return bread @ scatter @ bread * np.outer(scales, scales)

    def _loss(self, start: _Found, free: list[str], scales: np.ndarray) -> Callable[[np.ndarray], float]:
        def lost(point: np.ndarray) -> float:
            values = {**start.values, **dict(zip(free, point * scales))}
            return -self.likelihood(values, start.flip)

        return lost

    def _scale(self, name: str) -> float:
        """A step of a parameter that changes the phase at the edge of the aperture by about a radian."""
        alpha, length = self.optics.semi_angle * 1e-3, self.optics.wavelength
        power = 2 if name == "C10" or name.endswith("12") else 4 if name == "C30" else 3
        return 3.0 if name == "rotation" else power * length / (2 * math.pi * alpha**power)


def _windowed(images: np.ndarray) -> tuple[np.ndarray, float]:
    """Images that fade to their mean at the borders, which do not match; and the share of frequencies independent."""
    window = np.multiply.outer(*(tukey(n, _FADE) for n in images.shape[1:])).astype(np.float32)
    power = (window**2).mean()
    mean = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    return (images - mean) * (window / np.sqrt(power)) + mean, float(power**2 / (window**4).mean())


_FADE = 0.4  # of a side, half of it at each end
_RINGS = 12


def _noise_over_signal(excess: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Noise power over that of the phase by distance from the middle, from the power beyond the noise of one."""
    ring = np.minimum((radius * _RINGS).astype(int), _RINGS - 1)
    mean = np.bincount(ring, excess, _RINGS) / np.maximum(np.bincount(ring, minlength=_RINGS), 1)
    # what an aperture transfers falls about linearly; a ring of noise alone says next to nothing
    signal = np.maximum(mean / np.maximum(1.5 * (1 - (np.arange(_RINGS) + 0.5) / _RINGS), 0.05), 1e-3)
    return (1 / signal)[ring]


def _coefficients(values: dict, wavelength_nm: float) -> np.ndarray:
    order = ("C10", "a12", "b12", "a21", "b21", "a23", "b23", "C30")
    return np.array([values.get(name, 0.0) for name in order]) * 2 * np.pi / wavelength_nm


def _hessian(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 0.05) -> np.ndarray:
    n = len(at)
    out, here = np.zeros((n, n)), function(at)
    steps = step * np.eye(n)
    for i in range(n):
        out[i, i] = (function(at + steps[i]) - 2 * here + function(at - steps[i])) / step**2
        for j in range(i):
            mixed = [function(at + a * steps[i] + b * steps[j]) * a * b for a in (1, -1) for b in (1, -1)]
            out[i, j] = out[j, i] = sum(mixed) / (4 * step**2)
    return out


def _half_turn(found: _Found) -> _Found:
    """The twin: even aberrations reversed, odd ones kept, and half a turn more."""
    values = {
        name: -value if name == "C10" or name.endswith("12") or name == "C30" else value
        for name, value in found.values.items()
    }
    values["rotation"] = found.values["rotation"] + 180
    return replace(found, values=values)


def _decided(
    signal: BaseSignal, found: _Found, rotation: Any, images: np.ndarray, problem: _Problem
) -> tuple[_Found, str]:
    """The fit or its twin, whichever the rest of what is known speaks for."""
    if rotation is not None:
        return found, "rotation"
    twin = _half_turn(found)
    tem = "Acquisition_instrument.TEM"
    turn, focus = (signal.metadata.get_item(f"{tem}.{name}") for name in ("scan_rotation", "overfocus"))
    if turn is not None:
        away = abs((found.values["rotation"] - turn + 180) % 360 - 180)
        return (found if away <= 90 else twin), "rotation"
    if focus:
        return (found if found.values["C10"] * focus > 0 else twin), "overfocus"
    # the phase of atoms stands out to the positive side; the twin has the opposite phase
    optics = replace(
        problem.optics, rotation=found.values["rotation"], flip=found.flip, aberrations=_polar(found.values)
    )
    picture = phase_of_images(images, problem.all_groups, optics, "obf")[0]
    return (found if (picture**3).mean() >= 0 else twin), "peaks"


def _polar(values: dict) -> dict[str, float]:
    """Aberrations as `phase` names them, from their Cartesian parts; directions in degrees."""
    found = {"C10": values.get("C10", 0.0)}
    for name, order in (("12", 2), ("21", 1), ("23", 3)):
        if f"a{name}" in values:
            along, across = values[f"a{name}"], values[f"b{name}"]
            found[f"C{name}"] = math.hypot(along, across)
            found[f"phi{name}"] = math.degrees(math.atan2(across, along)) / order
    if "C30" in values:
        found["C30"] = values["C30"]
    return found


def _errors(values: dict, free: list[str], covariance: np.ndarray) -> dict[str, float]:
    """Standard deviations of the polar quantities and of the rotation."""

    def polar(point: np.ndarray) -> np.ndarray:
        at_point = {**values, **dict(zip(free, point))}
        return np.array([*_polar(at_point).values(), at_point["rotation"]])

    at = np.array([values[name] for name in free])
    steps = np.sqrt(np.abs(np.diag(covariance))) * 1e-3 + 1e-12
    slopes = np.stack([(polar(at + e) - polar(at - e)) / (2 * e.max()) for e in np.diag(steps)], axis=1)
    spread_ = np.sqrt(np.maximum(np.diag(slopes @ covariance @ slopes.T), 0))
    return dict(zip([*_polar(values), "rotation"], spread_.tolist()))


def _curl_witness(images: np.ndarray, groups: Groups, optics: Optics, flip: bool) -> dict[str, float]:
    """Rotation in degrees (of half a turn) at which the centre of mass has least curl, and its share then.

    With the detector turned by an angle the curl is ``cos * across - sin * along``, so its power is a quadratic form
    of (cos, sin), whose smaller eigenvalue is what is looked for. In real space: the borders of a scan do not match.
    """
    y, x = replace(optics, rotation=0.0, flip=flip).to_scan(groups.y, groups.x)
    down, right = (np.tensordot(axis, images, 1) for axis in (y, x))
    # noise is finer than what the aperture resolves
    resolved = optics.wavelength / (2e-3 * optics.semi_angle)
    widths = [resolved / step for step in optics.scan_step]
    down, right = (gaussian_filter(part, widths, mode="nearest") for part in (down, right))
    edge = tuple(slice(min(int(w) + 1, n // 4), -min(int(w) + 1, n // 4) or None) for w, n in zip(widths, down.shape))
    (down_y, down_x), (right_y, right_x) = (np.gradient(part, *optics.scan_step) for part in (down, right))
    across, along = (down_x - right_y)[edge], (right_x + down_y)[edge]
    mixed = -(across * along).sum()
    sizes, vectors = np.linalg.eigh([[(across**2).sum(), mixed], [mixed, (along**2).sum()]])
    angle = math.degrees(math.atan2(vectors[1, 0], vectors[0, 0]))
    return {"curl_rotation": angle, "curl": float(sizes[0] / max(sizes.sum(), 1e-300))}


def _shift_witness(problem: _Problem, found: _Found) -> dict[str, float]:
    """Rotation and defocus from where the tilted images lie, each compared with the sum of all others.

    An image is displaced by minus the slope of the aberration phase at its angle over 2 pi: linear in the angle for
    C10 and C12, ``slope = S R(-rotation) k`` with a symmetric S, which the polar decomposition takes apart.
    """
    optics = replace(problem.optics, rotation=found.values["rotation"], flip=found.flip)
    y, x = optics.angles(problem.groups.y, problem.groups.x)
    slope_x, slope_y = loops.slope.py_func(x, y, _coefficients(found.values, optics.wavelength))
    q = np.stack([problem.qy, problem.qx])
    moved = problem.spectra * np.exp(-1j * (np.outer(problem.qy, slope_y) + np.outer(problem.qx, slope_x)))
    cross = moved * np.conj(moved.sum(axis=1, keepdims=True) - moved)
    rest = np.empty((len(x), 2))
    weight = np.abs(cross)
    for group in range(len(x)):
        form = (q * weight[:, group]) @ q.T
        rest[group] = np.linalg.solve(form, (q * weight[:, group]) @ np.angle(cross[:, group]))
    plain = replace(optics, rotation=0.0).angles(problem.groups.y, problem.groups.x)
    design = np.stack(plain, axis=1)
    slopes = np.stack([slope_y, slope_x], axis=1) + rest
    matrix = np.linalg.lstsq(design * np.sqrt(problem.fraction)[:, None], slopes * np.sqrt(problem.fraction)[:, None],
                             rcond=None)[0].T  # fmt: skip
    turn, stretch = polar(matrix, side="left")
    left = slopes - design @ matrix.T
    length = optics.wavelength / (2 * math.pi)
    # rotation matrices act on (y, x): R(-angle) = [[cos, -sin], [sin, cos]]
    angle = math.degrees(math.atan2(turn[1, 0], turn[0, 0]))
    defocus = float(np.trace(stretch)) / 2 * length
    away = abs((angle - found.values["rotation"] + 180) % 360 - 180)
    if away > 90:  # the decomposition calls the defocus positive
        angle, defocus = angle + 180, -defocus
    scatter = math.sqrt((problem.fraction @ (left**2).sum(axis=1)) / 2) * length
    return {"shift_C10": defocus, "shift_rotation": _in_half_turns(angle), "shift_rms": scatter}


def _in_half_turns(angle: float) -> float:
    """An angle in degrees from -180 to 180."""
    return (angle + 180) % 360 - 180


def _described(
    found: _Found, free: list[str], covariance: np.ndarray, problem: _Problem, curl: dict, decided_by: str
) -> AberrationFit:
    values = {
        "aberrations": {
            name: f"{value:.6g} {'nm' if name.startswith('C') else 'deg'}"
            for name, value in _polar(found.values).items()
        },
        "rotation": f"{_in_half_turns(found.values['rotation']):.6g} deg",
        "flip": found.flip,
    }
    n, groups = problem.spectra.shape
    total = float((np.abs(problem.spectra) ** 2 / problem.fraction).sum())
    residual = (total - problem.explained(found) - n * (groups - 1)) / max(total - n * groups, 1e-300)
    witnesses = {**curl, **_shift_witness(problem, found)}
    # known up to half a turn: the half that is nearer
    nearer = abs((curl["curl_rotation"] - found.values["rotation"] + 180) % 360 - 180) <= 90
    witnesses["curl_rotation"] = _in_half_turns(curl["curl_rotation"] + (0 if nearer else 180))
    errors = _errors(found.values, free, covariance)
    if errors["C10"] > 0.5 * max(abs(found.values["C10"]), 1e-9) and errors["C10"] > problem.depth_of_focus:
        _logger.warning(
            f"C10 is {found.values['C10']:.3g} +/- {errors['C10']:.3g} nm: the images hardly determine it. More "
            "electrons or positions, or a defocus of several depths of focus "
            f"({problem.depth_of_focus:.3g} nm here), would help."
        )
    return AberrationFit(values, errors, float(np.clip(residual, 0, 1)), witnesses, decided_by)
