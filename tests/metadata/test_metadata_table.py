"""Every row of the table: read from each source, wrong units refused, kept by each file format."""

import json

import hyperspy.api as hs
import numpy as np
import pint
import pytest
import yaml
from metadata_cases import STATED, WITH_UNIT, WRONG, at, plain, spoken

import hyperspy_sparse
from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.metadata.mapping import LEAVES, SOURCES, build
from rsciio_tpx3.metadata.sources.sidecars import read_sidecar
from rsciio_tpx3.metadata.sources.signal_file import read_survey
from rsciio_tpx3.metadata.user_input import read_mapping
from rsciio_tpx3.metadata.validation import check

_REGISTRY = pint.UnitRegistry()  # not the one that this package uses


@pytest.mark.parametrize("name", LEAVES)
def test_a_row_is_complete(name):
    row = LEAVES[name]
    assert row.leaf and row.meaning and set(row.sources) <= set(SOURCES)
    if "user" in row.sources:
        assert row.example and row.kind != "any"
        assert check(name, spoken(name))[0] is not None


def test_no_two_rows_share_a_leaf_or_a_word():
    leaves = [row.leaf for row in LEAVES.values()]
    words = [word for name, row in LEAVES.items() for word in (name, *row.words)]
    assert len(set(leaves)) == len(leaves)
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("name", STATED)
def test_the_user_tells_it_by_name_by_place_and_with_any_registry(name):
    row = LEAVES[name]
    assert read_mapping({name: spoken(name)}, "x").values == {name: plain(name)}
    *nodes, last = row.leaf.split(".")
    tree = {last: spoken(name)}
    for node in reversed(nodes):
        tree = {node: tree}
    assert read_mapping(tree, "x").values == {name: plain(name)}
    for word in row.words:
        assert read_mapping({word.upper().replace("_", " "): spoken(name)}, "x").values == {name: plain(name)}
    if name in WITH_UNIT and not row.many:
        quantity = _REGISTRY.Quantity(plain(name), row.unit)
        assert check(name, quantity)[0] == pytest.approx(plain(name))
        assert check(name, (plain(name), row.unit))[0] == pytest.approx(plain(name))


@pytest.mark.parametrize("ending", ["json", "yaml", "toml"])
@pytest.mark.parametrize("name", STATED)
def test_a_written_file_tells_it(name, ending, tmp_path):
    path = tmp_path / f"scan.metadata.{ending}"
    if ending == "json":
        path.write_text(json.dumps({name: spoken(name)}))
    elif ending == "yaml":
        path.write_text(yaml.safe_dump({name: spoken(name)}))
    else:
        path.write_text(f"{name} = {json.dumps(spoken(name))}")
    [sidecar] = read_sidecar(str(path))
    assert sidecar.kind == "written"
    assert sidecar.values == {name: plain(name)}


@pytest.mark.parametrize("name", [name for name in STATED if "survey" in LEAVES[name].sources])
def test_another_signal_tells_it(name):
    signal = hs.signals.Signal2D(np.zeros((3, 4)))
    signal.metadata.set_item("Acquisition_instrument.TEM.acquisition_mode", "STEM")
    signal.metadata.add_dictionary(build({name: plain(name)}))
    assert read_survey(signal).values == {name: plain(name)}


@pytest.mark.parametrize("name", WITH_UNIT)
def test_what_cannot_be_right_is_refused_with_the_key_and_an_example(name):
    row = LEAVES[name]
    for wrong in (
        5,
        "5",
        "abc",
        "nan " + row.unit,
        (float("inf"), row.unit),
        "5 furlongs per sheep",
        "5 px",
        WRONG[row.unit],
        [None, row.unit] if not row.many else [None],
        True,
    ):
        with pytest.raises(UnitError, match=f"(?s)x: {name}=.*rite.*{row.example[2:6]}"):
            read_mapping({name: wrong}, "x")


@pytest.mark.parametrize("name", [name for name in WITH_UNIT if np.isfinite(LEAVES[name].high)])
def test_a_value_outside_physical_sense_is_refused(name):
    row = LEAVES[name]
    with pytest.raises(UnitError, match="physically impossible"):
        check(name, (row.high * 1.01 + 1, row.unit))
    assert np.allclose(check(name, (row.high, row.unit))[0], row.high)


def test_a_semi_angle_of_five_radians_is_refused():
    with pytest.raises(UnitError, match=r"convergence_angle='5 rad' is 5000 mrad.*0 to 300 mrad.*'20 mrad'"):
        check("convergence_angle", "5 rad")


def test_px_is_no_length():
    with pytest.raises(UnitError, match="expected a length"):
        check("camera_length", "100 px")
    with pytest.raises(UnitError, match="expected a number of pixels"):
        check("center_x", "1 mm")
    assert check("center_x", "250.5 px") == (250.5, None)


@pytest.mark.parametrize(
    ("value", "number", "error"),
    [
        ("100 +/- 2 mm", 0.1, 0.002),
        ("(100 ± 2) mm", 0.1, 0.002),
        ((100, 2, "mm"), 0.1, 0.002),
        ({"value": 10, "error": 1, "unit": "cm"}, 0.1, 0.01),
        ("0.1 m", 0.1, None),
    ],
)
def test_errors_come_along(value, number, error):
    assert check("camera_length", value) == (number, error)


def test_kilovolts_are_an_energy_of_electrons():
    assert check("beam_energy", "200 kV") == check("beam_energy", "200 keV") == (200.0, None)
    assert check("beam_energy", "80000 V") == (80.0, None)


# -- kept by files -------------------------------------------------------------------------------


def _all_values():
    values = {name: plain(name) for name in STATED if name != "navigation_shape"}
    values["layout_table"] = ["chip 0: x 0, y 0, LtRTtB"]
    return {**values, "camera_length_error": 0.002, "dwell_time_error": 1e-9}


def _reloaded(signal, path):
    options = {"file_format": "stempy"} if path.suffix == ".h5" else {}
    signal.save(path, **options)
    return hs.load(path, lazy=True, **options).metadata.as_dictionary()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The metadata tree after saving and loading, by ending."""
    folder = tmp_path_factory.mktemp("saved")
    signal = hyperspy_sparse.data.disks((3, 4), (8, 10), electrons=5)
    signal.metadata.Signal.quantity = "Counts"
    del signal.metadata.Simulation
    signal.metadata.add_dictionary(build(_all_values()))
    return {ending: _reloaded(signal, folder / f"x.{ending}") for ending in ("hspy", "zspy", "toml", "nxevent", "h5")}


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["hspy", "zspy", "toml", "nxevent", "h5"])
@pytest.mark.parametrize("name", [name for name in STATED if name != "navigation_shape"])
def test_files_keep_it(name, ending, saved):
    row = LEAVES[name]
    assert at(saved[ending], row.leaf) == plain(name)
    assert type(at(saved[ending], row.leaf)) is not np.ndarray
    if row.unit is not None:
        assert at(saved[ending], f"{row.leaf}_units") == row.unit
    if name == "camera_length":
        assert at(saved[ending], f"{row.leaf}_errors") == 0.002
