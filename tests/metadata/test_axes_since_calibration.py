"""Kind: a ratio of scales is taken for a binning, and units are compared as text.

Signals are calibrated, measured anew, binned, cropped, turned and stated again in any order; with them a plain table
says which detector pixels the steps are. What is exported is the truth, or is refused.
"""

import json
import math
import random

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse import set_microscope
from hyperspy_sparse.interop.exchange import _in_their_units
from rsciio_tpx3.exceptions import ConflictError, UnitError
from rsciio_tpx3.metadata.calibration import axis_kind, detector_pixels, detector_scale, scan_positions, wavelength
from rsciio_tpx3.metadata.export import data_values, known_values, libertem_parameters
from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.metadata.sources.nexus import nexus_fields
from rsciio_tpx3.simulate.twin import temgym_setup

PITCH = 55e-6
STATED = {"beam_energy": "200 keV", "camera_length": "100 mm", "pixel_pitch": "55 um", "convergence_angle": "20 mrad"}
# the unit of an axis in reciprocal space or angles, as programs write it, and how many of ours it is
SPELLINGS = {
    "mrad": [("mrad", 1), ("rad", 1e-3), ("milliradian", 1), ("\u00b5rad", 1e3), ("\u03bcrad", 1e3)],
    "nm^-1": [("nm^-1", 1), ("1/nm", 1), ("nm$^{-1}$", 1), ("nm\u207b\u00b9", 1), ("$\\AA^{-1}$", 0.1),
              ("$A^{-1}$", 0.1),
              ("1/angstrom", 0.1), ("\u00c5^-1", 0.1), ("1 / angstrom", 0.1), ("A^-1", 0.1), ("1/pm", 1e-3),
              ("1/\u00b5m", 1e3)],
}  # fmt: skip


def signal(nav=(4, 6), sig=(48, 64)):
    s = hyperspy_sparse.to_sparse(hs.signals.Signal2D(np.ones((*nav, *sig), "u1")).as_lazy())
    for axis, name in zip(s.axes_manager._axes, ("y", "x", "ky", "kx")):
        axis.name, axis.units = name, "px" if name.startswith("k") else ""
    return s


class Truth:
    """Which detector pixel the middle of each step of an axis is, in the plainest way."""

    def __init__(self, size, center):
        self.places, self.center = np.arange(size, dtype=float), center

    def crop(self, start, stop):
        self.places = self.places[start:stop]

    def bin(self, n):
        self.places = self.places[: len(self.places) // n * n].reshape(-1, n).mean(axis=1)

    def turn(self):
        self.places = self.places[::-1]

    @property
    def step(self):
        return self.places[1] - self.places[0]

    @property
    def zero(self):
        """Index at which the beam is."""
        return (self.center - self.places[0]) / self.step


def campaign(seed):
    """A signal after a random history, and the truth about its detector axes, (x, y)."""
    dice = random.Random(seed)
    s, truths = signal(), [Truth(64, 31.5), Truth(48, 23.5)]
    quantities = dict(STATED)
    if dice.random() < 0.5:
        truths[0].center, truths[1].center = 30.25, 20.0
        quantities["center"] = (30.25, 20.0)
    kind = dice.choice(["angle", "k"])
    set_microscope(s, **quantities, scan_step="0.5 nm", calibrate=kind)
    length, steps = 0.1, []
    for _ in range(dice.randrange(1, 7)):
        step = dice.choice(["rescale", "bin", "crop", "turn", "center", "length", "spell", "again", "zero"])
        steps.append(step)
        if step == "rescale":
            factor = dice.uniform(0.9, 1.1)
            for axis in s.axes_manager.signal_axes:
                axis.scale, axis.offset = axis.scale * factor, axis.offset * factor
        elif step == "bin" and min(len(t.places) for t in truths) >= 12:
            n = dice.choice([2, 3])
            wide, high = (len(truth.places) // n * n for truth in truths)
            s = s.isig[:wide, :high].rebin(scale=(1, 1, n, n))
            for truth in truths:
                truth.bin(n)
        elif step == "crop" and min(len(t.places) for t in truths) >= 8:
            left, top = dice.randrange(1, 4), dice.randrange(1, 4)
            s = s.isig[left:-1, top:-2]
            truths[0].crop(left, -1), truths[1].crop(top, -2)
        elif step == "turn":
            s = s.isig[::-1, :]
            truths[0].turn()
        elif step == "center":
            truths[0].center, truths[1].center = dice.uniform(10, 40), dice.uniform(10, 40)
            set_microscope(s, center=(truths[0].center, truths[1].center))
        elif step in ("length", "again"):
            length = dice.choice([0.2, 0.08]) if step == "length" else length
            for _ in range(2):  # stated twice, applied once
                set_microscope(s, camera_length=(length, "m"))
        elif step == "zero":  # found on the pattern, and set by hand
            axis, move = s.axes_manager.signal_axes[0], dice.uniform(-3, 3)
            axis.offset += move * axis.scale
            truths[0].center -= move * truths[0].step
        elif step == "spell":
            for axis in s.axes_manager.signal_axes:
                for spellings in SPELLINGS.values():
                    now = dict(spellings).get(axis.units)
                    if now:
                        unit, factor = dice.choice(spellings)
                        axis.scale, axis.offset = axis.scale * factor / now, axis.offset * factor / now
                        axis.units = unit
    return s, truths, steps, length


@pytest.mark.slow
def test_any_history_exports_the_truth_or_is_refused():
    refused = 0
    for seed in range(150):
        try:
            s, (x, y), steps, _ = campaign(seed)
            found = data_values(s)
        except ConflictError:
            refused += 1
            continue
        about = f"seed {seed}: {steps}"
        assert found["pixel_pitch"] == pytest.approx(PITCH * abs(x.step)), about
        assert (found["center_x"], found["center_y"]) == pytest.approx((x.zero, y.zero), abs=1e-6), about
        if x.step > 0:
            assert libertem_parameters(s)["cx"][0] == pytest.approx(x.zero, abs=1e-6), about
        else:
            with pytest.raises(ConflictError, match="runs backwards"):
                libertem_parameters(s)
    assert refused < 15  # a history that says too little is rare


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["angle", "k"])
def test_a_length_set_after_any_history_gives_the_scale_of_the_formula(kind):
    done = 0
    for seed in range(40):
        try:
            s, (x, _), steps, _ = campaign(1000 + seed)
            set_microscope(s, camera_length="150 mm", calibrate=kind)
        except ConflictError:
            continue
        once = [(a.scale, a.offset, a.units) for a in s.axes_manager._axes]
        set_microscope(s, camera_length="150 mm", calibrate=kind)
        assert [(a.scale, a.offset, a.units) for a in s.axes_manager._axes] == [
            (pytest.approx(scale), pytest.approx(offset), units) for scale, offset, units in once
        ], steps
        axis = s.axes_manager.signal_axes[0]
        right = math.atan(PITCH / 0.15) * 1e3 if kind == "angle" else PITCH / 0.15 / wavelength(200) * 1e-9
        spelt = dict(SPELLINGS["mrad" if kind == "angle" else "nm^-1"])[axis.units]
        assert axis.scale == pytest.approx(right * x.step * spelt), steps
        assert -axis.offset / axis.scale == pytest.approx(x.zero, abs=1e-6), steps
        done += 1
    assert done > 30


@pytest.mark.slow
@pytest.mark.parametrize("unit, factor", SPELLINGS["mrad"] + SPELLINGS["nm^-1"])
def test_every_spelling_of_a_unit_means_the_same(unit, factor):
    s = set_microscope(signal(), **STATED, center=(31, 20), calibrate="angle" if "rad" in unit else "k")
    for axis in s.axes_manager.signal_axes:
        axis.scale, axis.offset, axis.units = axis.scale * factor, axis.offset * factor, unit
    binned = s.rebin(scale=(1, 1, 4, 4))
    assert data_values(binned)["pixel_pitch"] == pytest.approx(4 * PITCH)
    assert data_values(binned)["center_x"] == pytest.approx((31 - 1.5) / 4)
    # the same without the note of the calibration, as files of other versions are
    binned.metadata.General.__delattr__("calibrated_axes")
    assert data_values(binned)["pixel_pitch"] == pytest.approx(4 * PITCH)
    set_microscope(binned, camera_length="200 mm")
    axis = binned.axes_manager.signal_axes[0]
    assert axis.units == unit
    assert axis.scale == pytest.approx(4 * factor * detector_scale({"camera_length": 0.2, "pixel_pitch": PITCH,
                                       "beam_energy": 200.0}, "angle" if "rad" in unit else "k")[0])  # fmt: skip


@pytest.mark.parametrize("unit", ["furlong", "1/furlong", "mrads per pixel", "1/nn", "A.U.", "\u00b5", "m**9**9**9"])
def test_an_unknown_unit_never_means_one_pixel(unit):
    s = set_microscope(signal(), **STATED, scan_step="1 nm")
    for axis in s.axes_manager.signal_axes:
        axis.units = unit
    before = [(a.scale, a.offset, a.units) for a in s.axes_manager._axes], str(s.metadata.as_dictionary())
    for ask in (lambda: set_microscope(s, camera_length="0.2 m"), lambda: set_microscope(s, center=(3, 3)),
                lambda: libertem_parameters(s), lambda: data_values(s)):  # fmt: skip
        with pytest.raises(UnitError, match="unit .* is not known"):
            ask()
    assert ([(a.scale, a.offset, a.units) for a in s.axes_manager._axes], str(s.metadata.as_dictionary())) == before
    assert known_values(s)["camera_length"] == 0.1
    s.axes_manager[0].units = unit
    with pytest.raises(UnitError, match="unit .* is not known"):
        known_values(s)


@pytest.mark.slow
@pytest.mark.parametrize("unit, factor", [("nm", 1), ("um", 1e-3), ("\u00b5m", 1e-3), ("\u03bcm", 1e-3), ("pm", 1e3),
                                          ("angstrom", 10), ("\u00c5", 10), ("m", 1e-9)])  # fmt: skip
@pytest.mark.parametrize("measured", [1, 1.03, 0.95, 1.25])
def test_a_scan_step_is_set_once_in_any_unit_and_after_any_measurement(unit, factor, measured):
    s = set_microscope(signal(), **STATED, scan_step="0.5 nm")
    for axis in s.axes_manager.navigation_axes:
        axis.scale, axis.units = axis.scale * factor * measured, unit
    s = s.rebin(scale=(2, 2, 1, 1))
    assert known_values(s)["scan_step_x"] == pytest.approx(measured)
    for _ in range(3):
        set_microscope(s, scan_step="0.52 nm")
        assert [(axis.scale, axis.units) for axis in s.axes_manager.navigation_axes] == [
            (pytest.approx(1.04), "nm")
        ] * 2
    assert libertem_parameters(s)["scan_pixel_pitch"][0] == pytest.approx(1.04e-9)


def test_a_scale_that_may_be_two_things_is_refused_with_the_way_out():
    s = set_microscope(signal(), **STATED).isig[3:40, 3:40]
    for axis in s.axes_manager.signal_axes:
        axis.scale, axis.offset = 1.6 * axis.scale, 1.6 * axis.offset
    for ask in (lambda: set_microscope(s, camera_length="0.2 m"), lambda: data_values(s)):
        with pytest.raises(ConflictError, match="is not known which pixels .* Set scale"):
            ask()
    for axis in s.axes_manager.signal_axes:
        axis.scale, axis.offset, axis.units = 1, 3, "px"
    set_microscope(s, camera_length="0.2 m")
    assert data_values(s)["pixel_pitch"] == pytest.approx(PITCH)


def test_without_a_note_only_whole_binnings_count():
    values = {"camera_length": 0.1, "pixel_pitch": PITCH, "beam_energy": 200.0, "center_x": 100.0}
    nominal = detector_scale(values)[0]
    for ratio, pixels in [(1, 1), (2, 2), (7, 7), (0.5, 0.5), (0.25, 0.25), (1.03, 1), (0.95, 1), (-1, -1), (-2, -2)]:
        axis = {"name": "kx", "size": 64, "scale": nominal * ratio, "offset": 0.0, "units": "mrad"}
        assert detector_pixels(axis, values, "center_x")[0] == pytest.approx(pixels), ratio
    for ratio in (1.5, 2.06, 3.5, 0.4, 12.3):
        with pytest.raises(ConflictError, match="not a binning by an integer"):
            detector_pixels({**axis, "scale": nominal * ratio}, values, "center_x")
    for unit in ("s", "nm", "keV"):
        with pytest.raises(ConflictError, match="axes of a detector are in pixels"):
            detector_pixels({**axis, "units": unit}, values, "center_x")
    cropped = {"name": "kx", "size": 64, "scale": nominal, "offset": -70 * nominal, "units": "mrad"}
    assert detector_pixels(cropped, values, "center_x") == (1, pytest.approx(30))
    scan = {"name": "x", "size": 9, "scale": 1.03, "offset": 0.0, "units": "nm"}
    assert scan_positions(scan, {"scan_step_x": 0.5 * 1.03}) == 2 and scan_positions(scan, {"scan_step_x": 1.0}) == 1
    with pytest.raises(ConflictError, match="not a binning by an integer"):
        scan_positions(scan, {"scan_step_x": 0.4})


def test_axes_that_are_not_uniform_are_refused_by_name(caplog):
    s = set_microscope(signal(), **STATED, scan_step="1 nm")
    for axis, which in ((3, "ky"), (1, "y")):
        t = s.deepcopy()
        t.axes_manager[axis].convert_to_non_uniform_axis()
        with pytest.raises(ConflictError, match=f"axis '{which}' is not uniform"):
            libertem_parameters(t)
        scales = [axis.scale for axis in t.axes_manager._axes if axis.is_uniform]
        with caplog.at_level("WARNING"):
            set_microscope(t, camera_length="0.2 m", scan_step="2 nm")
        assert "Axes that are not uniform keep the calibration that they have, and so do all others" in caplog.text
        assert scales == [axis.scale for axis in t.axes_manager._axes if axis.is_uniform]
        caplog.clear()


@pytest.mark.parametrize("note", ["", "{", "[]", '{"kx": 3}', '{"kx": {"size": "a"}}', "[" * 9000,
                                  json.dumps({"kx": {"size": 64, "scale": 0, "offset": 0, "units": "mrad", "pixels": 1,
                                                     "first": 0}})])  # fmt: skip
def test_a_damaged_note_counts_as_none(note):
    s = set_microscope(signal(), **STATED, center=(31, 20))
    s.metadata.General.calibrated_axes = note
    assert data_values(s)["pixel_pitch"] == pytest.approx(PITCH)


def test_what_cannot_be_said_is_excluded_from_a_nexus_file(caplog):
    s = set_microscope(signal(), **STATED)
    axes = [{"name": a.name, "size": a.size, "scale": a.scale, "offset": a.offset, "units": "furlong"}
            for a in s.axes_manager._axes]  # fmt: skip
    fields = nexus_fields(s.metadata.as_dictionary(), axes)
    assert "detector/x_pixel_size" not in fields and fields["microscope/optics/camera_length"] == (0.1, "m")
    assert "excluded" in caplog.text and "furlong" in caplog.text


def test_a_turned_signal_is_no_set_up():
    s = set_microscope(signal(), **STATED, scan_step="1 nm", overfocus="1 um", scan_rotation="0 deg", flip_y=False)
    for turned in (s.isig[::-1, :], s.isig[:, ::-1], s.inav[::-1, :]):
        for export in (libertem_parameters, temgym_setup):
            with pytest.raises(ConflictError, match="runs backwards"):
                export(turned)
    assert libertem_parameters(s)["cx"][0] == pytest.approx(31.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, row in LEAVES.items() if "user" in row.sources and not row.steers
                                  and row.example and row.kind != "any"])  # fmt: skip
def test_every_quantity_set_twice_is_applied_once(name):
    """Kind: a quantity stated twice is applied twice."""
    quantities = json.loads(LEAVES[name].example) if LEAVES[name].example[0] in "[{" else LEAVES[name].example
    s = set_microscope(signal(), **{**STATED, "scan_step": "1 nm", "center": (30, 20)}).rebin(scale=(2, 2, 2, 2))
    seen = []
    for _ in range(3):
        set_microscope(s, {name: quantities})
        seen.append(([(a.scale, a.offset, a.units) for a in s.axes_manager._axes], dict(known_values(s))))
        seen[-1][1].pop("calibrated_axes")
    assert seen[1] == seen[2]
    for a, b in zip(seen[0][0], seen[1][0]):
        assert a == (pytest.approx(b[0]), pytest.approx(b[1]), b[2])


def test_units_decide_what_kind_an_axis_is():
    kinds = {"": "pixels", "px": "pixels", "mrad": "angle", "deg": "angle", "1/nm": "k", "um": "length", "s": "time",
             "eV": "other"}  # fmt: skip
    assert {unit: axis_kind({"name": "x", "units": unit}) for unit in kinds} == kinds


@pytest.mark.parametrize("unit, factor", SPELLINGS["nm^-1"])
def test_other_programs_get_reciprocal_axes_in_their_unit(unit, factor):
    s = set_microscope(signal(), **STATED, calibrate="k")
    axis = s.axes_manager.signal_axes[0]
    right = axis.scale / 10
    axis.scale, axis.units = axis.scale * factor, unit
    scale, _, theirs = _in_their_units(axis)
    assert (scale, theirs) == (pytest.approx(right), "A^-1")
    axis.units = "m**9**9**9"
    with pytest.raises(UnitError, match="not known"):
        _in_their_units(axis)
