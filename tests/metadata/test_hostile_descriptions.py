"""Kinds: two ways to read one text; a small text that stands for a huge one; raw errors of parsers.

What a text of n bytes costs is bounded by n, and every error names the file, the place or the option.
"""

import json
import math
import time
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import simulate
from rsciio_tpx3.exceptions import FormatError, LimitError, MetadataConflictError, UnitError
from rsciio_tpx3.metadata.mapping import LEAVES, build
from rsciio_tpx3.metadata.record import make_record, read_record
from rsciio_tpx3.metadata.sources.emat import read_notes
from rsciio_tpx3.metadata.sources.nion import read_swift
from rsciio_tpx3.metadata.sources.sidecars import read_sidecar
from rsciio_tpx3.metadata.user_input import read_mapping, read_tree
from rsciio_tpx3.metadata.validation import check
from rsciio_tpx3.tpx3 import file_reader
from rsciio_tpx3.utils.units import convert, parse_unit, to_number, to_plain, to_ticks

SOON = 5  # s; each of these took minutes or for ever


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "scan.tpx3"
    simulate.recording(path, (6, 8), dwell_time="5 us", electrons_per_position=4, layout="single")
    return path


# -- quantities -------------------------------------------------------------------------------------

NUMBERS = st.decimals(min_value="-1e9", max_value="1e9", allow_nan=False, allow_infinity=False, places=6)
PREFIXES = {"f": -15, "p": -12, "n": -9, "u": -6, "\u00b5": -6, "\u03bc": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9}


@given(NUMBERS, st.sampled_from(sorted(PREFIXES)), st.sampled_from(["m", "eV", "V", "A", "rad", "s"]),
       st.sampled_from(["{} {}", "{}{}", " {}  {} ", "+{} {}"]))  # fmt: skip
@settings(max_examples=150)
def test_a_quantity_survives_its_text(number, prefix, unit, form):
    if form[0] == "+" and number < 0:
        form = form[1:]
    text = form.format(f"{number:f}", prefix + unit)
    right = float(Fraction(str(number)) * Fraction(10) ** PREFIXES[prefix])
    assert to_plain(text, unit) == (right, None)
    assert to_plain(text.replace("-", "\u2212"), unit) == (right, None)
    assert to_plain((number, prefix + unit), unit) == (right, None)
    again = to_plain(f"{right!r} {unit}", prefix + unit)[0]
    assert math.isclose(again, float(number), rel_tol=1e-12, abs_tol=1e-300)


@given(st.text(max_size=30) | st.text("0123456789eE.,+-/*^() mnsuVxk\u00b5$\\{}A", max_size=30))
@settings(max_examples=200)
def test_any_text_is_a_quantity_or_refused_as_one(text):
    for ask in (lambda: to_plain(text, "m"), lambda: to_ticks(text), lambda: parse_unit(text), lambda: to_number(text),
                lambda: to_number(text, magnified=True), lambda: convert(1.0, text, "nm")):  # fmt: skip
        try:
            ask()
        except UnitError:
            continue


@pytest.mark.parametrize("text", ["1,2 us", "1,200 us", "1.200,5 us", "1'200 us", "1_000 us", "1 200 us", "12, us",
                                  "1\uff0c2 us", "1\u202f200 us", "0,5e3 us"])  # fmt: skip
def test_a_separator_is_refused_with_the_remedy(scan, text):
    for ask in (lambda: to_ticks(text, "dwell_time"), lambda: to_plain(text, "s", "dwell_time"),
                lambda: read_mapping({"dwell_time": text}, "x"),
                lambda: file_reader(str(scan), dwell_time=text),
                lambda: file_reader(str(scan), scan_delay=text),
                lambda: file_reader(str(scan), cluster={"window": text}),
                lambda: file_reader(str(scan), metadata={"dwell_time": text})):  # fmt: skip
        with pytest.raises(UnitError, match="(comma|between digits).*decimal point"):
            ask()


@pytest.mark.parametrize(
    ("text", "number"),
    [("200 kx", 2e5), ("200kX", 2e5), ("200 Kx", 2e5), ("200k", 2e5), ("1.5 M", 1.5e6), ("2 Mx", 2e6),
     ("\u00d720000", 2e4),
     ("20000 \u00d7", 2e4), ("x 450", 450), ("2e6", 2e6), ("300x", 300), (2e6, 2e6), (np.float32(8), 8)],
)  # fmt: skip
def test_magnifications_as_people_write_them(tmp_path, text, number):
    assert read_mapping({"magnification": text}, "x").values == {"magnification": number}
    if isinstance(text, str):
        (tmp_path / "comment.txt").write_text(f"STEM magnification: {text}\n", encoding="utf-8")
        assert read_notes(str(tmp_path / "comment.txt")).values == {"magnification": number}


@pytest.mark.parametrize(
    "text", ["200,000", "200.000,0", "200 kk", "2 mx", "kx", "nan", "inf", "1e999999999", "9" * 200, True]
)
def test_what_is_no_magnification_is_refused(text):
    with pytest.raises(ValueError, match="x: magnification=.*plain number"):
        read_mapping({"magnification": text}, "x")


BOMBS = ["m**9**9**9", "m^9^9^9", "(" * 3000 + "m" + ")" * 3000, "m" * 100_000, "m*" * 5000 + "m", "m**99999999",
         "1/" * 4000 + "m", "nm**" + "9" * 5000, "$" * 60 + "m" + "{" * 5000]  # fmt: skip


@pytest.mark.parametrize("unit", BOMBS, ids=range(len(BOMBS)))
def test_no_unit_takes_long(scan, unit):
    start = time.monotonic()
    for ask in (lambda: parse_unit(unit), lambda: to_ticks(f"1 {unit}"), lambda: to_plain((1, unit), "m"),
                lambda: read_mapping({"camera_length": 1, "camera_length_units": unit}, "x"),
                lambda: file_reader(str(scan), dwell_time=f"5 {unit}")):  # fmt: skip
        with pytest.raises(UnitError):
            ask()
    assert time.monotonic() - start < SOON


NO_NUMBERS = ["1e999999999", "9" * 10**6, "0." + "1" * 10**6, "1e-999999999", "1e" + "9" * 10**5,  "0x10",
              "\u0661", "nan", "-inf", "", 10**5000, float("nan"), True, None, np.inf, [1], {"a": 1}]  # fmt: skip


@pytest.mark.parametrize("number", NO_NUMBERS, ids=range(len(NO_NUMBERS)))
def test_no_number_takes_long(number):
    start = time.monotonic()
    for ask in (lambda: to_number(number), lambda: to_ticks((number, "us")), lambda: to_plain((number, "m"), "m"),
                lambda: to_ticks(f"{number} us" if isinstance(number, str) else number)):  # fmt: skip
        with pytest.raises(UnitError) as problem:
            ask()
        assert len(str(problem.value)) < 1000
    assert time.monotonic() - start < SOON


def test_times_that_no_recording_has_are_refused():
    for text in ("1e12 s", "1e300 s", "1e-300 s", "1e-20 us"):
        with pytest.raises(UnitError, match="longer than any|shorter than a thousandth"):
            to_ticks(text)
    assert to_ticks("1e-20 us", allow_negative=True) > 0


@pytest.mark.parametrize(("unit", "near"), [("MM", "mm"), ("KeV", "keV"), ("nanometre", None), ("Angstrom", None),
                                            ("kev", "keV"), ("nanomter", "nanometer")])  # fmt: skip
def test_a_slip_in_a_unit_gets_a_hint(unit, near):
    if near is None:
        assert parse_unit(unit)
        return
    with pytest.raises(UnitError, match=f"not known .is .*{near}.* meant"):
        parse_unit(unit)


@pytest.mark.parametrize("text", ["1,024", "1,024 x 768", "2x3x4x5", "1e3x", "axb", "64", "nanx3", "9" * 5000, "3.5x4"])
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(ValueError, match="two or three positive integers"):
        check("navigation_shape", text)
    assert check("navigation_shape", "(256, 128)")[0] == check("navigation_shape", "256\u00d7128")[0] == [256, 128]


# -- files -------------------------------------------------------------------------------------------


def bomb():
    text = "a: &a [1,1,1,1,1,1,1,1,1]\n"
    for this, last in zip("bcdefgh", "abcdefg"):
        text += f"{this}: &{this} [" + ",".join([f"*{last}"] * 9) + "]\n"
    return text


HOSTILE = {
    "lists.yaml": bomb(),
    "maps.yaml": bomb().replace("[", "{").replace("]", "}").replace("1,1,1,1,1,1,1,1,1", "q: 1"),
    "text.yaml": "a: &a " + "x" * 10_000 + "\n" + "".join(f"k{i}: *a\n" for i in range(1000)),
    "merge.yaml": "a: &a {" + ", ".join(f"k{i}: 1" for i in range(50)) + "}\n"
                  + "".join(f"b{i}: {{<<: [{', '.join(['*a'] * 40)}]}}\n" for i in range(50)),
    "itself.yaml": "a: &a [*a]\n",
    "deep.yaml": "[" * 100_000,
    "deep_block.yaml": "\n".join(" " * i + "a:" for i in range(500)),
    "deep.json": "[" * 100_000 + "]" * 100_000,
    "deep_objects.json": '{"a":' * 500 + "1" + "}" * 500,
    "deep.toml": "a = " + "[" * 50_000,
    "parts.toml": ".".join("a" * 30_000) + " = 1",
    "tables.toml": f"[{'.'.join('a' * 30_000)}]\nb = 1",
    "long.yaml": "# " + "x" * (1 << 20),
    "long.toml": "# " + "x" * (1 << 20),
    "tag.yaml": "camera_length: !!python/object/apply:os.getcwd []\n",
    "tag_name.yaml": "camera_length: !!python/name:os.system\n",
    "digits.yaml": "a: " + "9" * 100_000,
    "digits.json": '{"a": ' + "9" * 100_000 + "}",
    "digits.toml": "a = " + "9" * 100_000,
    "date.yaml": "date: 2024-13-45\n",
    "key.yaml": "? [a, b]\n: 1\n",
    "twice.yaml": 'camera_length: "100 mm"\nbeam_energy: "200 keV"\ncamera_length: "200 mm"\n',
    "twice.json": '{"camera_length": "100 mm", "camera_length": "200 mm"}',
    "twice.toml": 'camera_length = "100 mm"\ncamera_length = "200 mm"\n',
    "list.yaml": "- a\n- b\n",
    "nothing.json": "",
    "number.json": "3",
    "latin1.yaml": b"sample: \xb5m\n",
    "binary.json": bytes(range(256)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_name_and_soon(tmp_path, caplog, name):
    path = tmp_path / name
    content = HOSTILE[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    start = time.monotonic()
    with pytest.raises((FormatError, LimitError), match=name.replace(".", r"\.")) as problem:
        read_sidecar(str(path))
    assert len(str(problem.value)) < 1000
    [source] = read_sidecar(str(path), strict=False)
    assert source.values == {} and name in caplog.text
    assert time.monotonic() - start < SOON


def test_a_bomb_next_to_a_recording_keeps_nobody_from_it(scan, caplog):
    path = scan.with_suffix(".metadata.yaml")
    path.write_text(bomb())
    try:
        [found] = file_reader(str(scan), lazy=True, navigation_shape=(8, 6), show_progressbar=False)
        assert found["data"].shape[:2] == (6, 8) and "scan.metadata.yaml" in caplog.text
        with pytest.raises(LimitError, match="aliases"):
            file_reader(str(scan), lazy=True, metadata=str(path))
    finally:
        path.unlink()


def test_anchors_of_reasonable_size_are_read(tmp_path):
    (tmp_path / "x.yaml").write_text(
        'a: &cl "100 mm"\ncamera_length: *cl\nc: &c {sample: gold}\nd: {<<: *c, grid: Cu}\n'
    )
    values = read_sidecar(str(tmp_path / "x.yaml"))[0].values
    assert values == {"camera_length": 0.1, "sample": "gold"}


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["_unit", "_units", "_error", ""])
def test_twenty_thousand_keys_are_read_at_once(tmp_path, ending):
    keys = {f"key number {i}{ending}": "nm" for i in range(20_000)}
    (tmp_path / "x.json").write_text(json.dumps({**keys, "camera_length": 100, "camera_length_units": "mm"}))
    start = time.monotonic()
    [source] = read_sidecar(str(tmp_path / "x.json"))
    assert source.values == {"camera_length": 0.1} and time.monotonic() - start < SOON


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("name, text", [("x.json", '{"sample": "\u00c5"}'), ("x.toml", 'sample = "\u00c5"'),
                                        ("x.yaml", "sample: \u00c5")])  # fmt: skip
def test_byte_order_marks_are_read(tmp_path, encoding, name, text):
    content = b"\xfe\xff" * (encoding == "utf-16-be") + text.encode(encoding)
    (tmp_path / name).write_bytes(content)
    assert read_sidecar(str(tmp_path / name))[0].values == {"sample": "\u00c5"}


def test_one_quantity_under_two_words_must_be_one(caplog):
    same = {"beam_energy": "200 keV", "voltage": "0.2 MV", "cl": "0.1 m", "camera length": "100 mm"}
    assert read_mapping(same, "x").values == {"beam_energy": 200.0, "camera_length": 0.1}
    with pytest.raises(MetadataConflictError, match="beam_energy is given twice.*200 keV.*300 keV"):
        read_mapping({"beam_energy": "200 keV", "ht": "300 kV"}, "x")
    source = read_mapping({"beam_energy": "200 keV", "ht": "300 kV", "cl": "1 m"}, "x", "written", strict=False)
    assert source.values == {"camera_length": 1.0} and "Both are excluded" in caplog.text


def test_notes_with_two_values_tell_none(tmp_path, caplog):
    text = "dwelltime: 6 \u00b5s\nscan size x: 64\nscan size y: 32\nScan rotation: 90 deg\ndwelltime: 7 us\n"
    (tmp_path / "comment.txt").write_bytes(text.encode("cp1252"))
    source = read_notes(str(tmp_path / "comment.txt"))
    assert source.values == {"navigation_shape": [64, 32], "scan_generator_rotation": 90.0}
    assert "several values for dwelltime" in caplog.text
    (tmp_path / "comment.txt").write_bytes(text.rpartition("dwell")[0].encode("cp1252"))
    assert read_notes(str(tmp_path / "comment.txt")).values["dwell_time"] == 6e-6


def swift(path, content, **about):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(about.get("name", "metadata.json"), content)


@pytest.mark.parametrize("content", ["[" * 100_000, "3", "{", b"\xff\xfe\xfa", " " * (1 << 25),
                                     '{"a": ' + "9" * 10_000 + "}"],
                         ids=range(6))  # fmt: skip
def test_a_hostile_data_item_of_swift_is_refused_by_name(tmp_path, content):
    swift(tmp_path / "survey.ndata1", content)
    with pytest.raises((FormatError, LimitError), match="survey.ndata1"):
        read_swift(str(tmp_path / "survey.ndata1"))
    swift(tmp_path / "other.ndata1", "{}", name="data.npy")
    (tmp_path / "none.ndata1").write_bytes(b"PK\x03\x04 and no more")
    for name in ("other", "none"):
        with pytest.raises(FormatError, match=f"{name}.ndata1"):
            read_swift(str(tmp_path / f"{name}.ndata1"))


@pytest.mark.parametrize("metadata", [3, [], {"instrument": 3, "scan": [1]}, {"hardware_source": "x", "scan": None}])
def test_a_data_item_of_another_shape_tells_nothing(tmp_path, metadata):
    swift(tmp_path / "survey.ndata1", json.dumps({"metadata": metadata}))
    assert read_swift(str(tmp_path / "survey.ndata1")).values == {}


# -- the record in counted files -----------------------------------------------------------------------


def record():
    axes = [{"name": n, "size": k, "navigate": n in "yx", "scale": 1.0, "offset": 0.0, "units": ""}
            for n, k in (("y", 2), ("x", 3), ("ky", 5), ("kx", 7))]  # fmt: skip
    return json.loads(make_record({"data": np.zeros(1, "u1"), "axes": axes, "metadata": build({"camera_length": 0.1})}))


@pytest.mark.parametrize(("key", "value"), [("scale", "a"), ("scale", 0), ("scale", float("nan")),
                                            ("offset", float("inf")),
                                            ("size", 1e300), ("size", "3"), ("units", [1]), ("name", {"a": 1}),
                                            ("scale", None)])  # fmt: skip
def test_a_damaged_record_is_refused_with_the_way_on(key, value):
    found = record()
    found["axes"][1][key] = value
    with pytest.raises(FormatError, match="cannot be read .*'x.toml'|'x.toml' cannot be read .*navigation_shape"):
        read_record(json.dumps(found), 6, (5, 7), "'x.toml'")
    for text in ("[" * 100_000, "3", "{}", '{"axes": 3}', json.dumps({**record(), "metadata": 3})):
        with pytest.raises(FormatError, match="'x.toml' cannot be read"):
            read_record(text, 6, (5, 7), "'x.toml'")


@pytest.mark.parametrize("name", ["camera_length", "pixel_pitch", "beam_energy", "center_x", "scan_step_x"])
@pytest.mark.parametrize("value", ["abc", 0, -1e300, float("nan"), float("inf"), [1, 2], {"a": 1}, True, "m**9**9**9"])
def test_a_value_that_cannot_be_right_is_excluded_from_what_a_file_tells(caplog, name, value):
    tree = build({"camera_length": 0.1, "title": "x", name: value})
    source = read_tree(tree, "x.toml", "recording")
    assert name not in source.values or LEAVES[name].low <= source.values[name] <= LEAVES[name].high
    assert source.values["title"] == "x"


# -- options -------------------------------------------------------------------------------------------

ODD = [
    float("nan"),
    float("inf"),
    -1,
    True,
    "abc",
    np.zeros((2, 2)),
    {"a": 1},
    [[1, 2], [3, 4]],
    10**400,
    b"x",
    object(),
]
OPTIONS = ["navigation_shape", "dwell_time", "signal", "frame_time", "sync", "tdc", "pattern", "active_fraction",
           "line_flyback", "frame_flyback", "lines_per_row", "first_line", "skip_lines", "scan_delay", "time_bins",
           "frames", "layout", "gap", "orientation", "values", "positions", "chunks", "dtype", "calibrate", "cluster",
           "corrections"]  # fmt: skip
# these mean something to their option
FINE = {"chunks": [-1], "frames": [-1]}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_odd_value_of_an_option_is_refused_by_name(scan, option):
    for value in ODD:
        if any(type(value) is type(fine) and value == fine for fine in FINE.get(option, ())):
            continue
        if (option, value is True) in (("cluster", True), ("corrections", True)):
            continue
        options = {"navigation_shape": (8, 6), "dwell_time": "5 us", option: value}
        if option == "frame_time":
            options = {"signal": "frames", "frame_time": value}
        with pytest.raises((ValueError, TypeError, FileNotFoundError)) as problem:
            [found] = file_reader(str(scan), lazy=True, show_progressbar=False, **options)
            found["data"].compute()
        assert option in str(problem.value), (value, problem.value)
        plain = isinstance(problem.value, ValueError) or option in ("cluster", "corrections")
        missing = isinstance(problem.value, FileNotFoundError) and option == "positions"  # a text names a file
        assert plain or missing, (value, problem.value)
