"""Any counts through any two formats, by `save` and by `convert`: equal to the bit, with axes and metadata."""

import numpy as np
import pytest
from counted_data import lazy, signal_dict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hyperspy_sparse
from rsciio_tpx3 import CSRFrames, nxevent, raw_csr, simulate, stempy
from rsciio_tpx3.convert import convert
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.raw_csr import file_writer

pytestmark = pytest.mark.slow  # every pair of formats

hs = pytest.importorskip("hyperspy.api")
pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")

FORMATS = {
    "raw_csr": (".toml", {}),
    "raw_csr compact": (".toml", {"compact": True}),
    "NXevent": (".nxevent", {}),
    "NXevent gzip": (".nxevent", {"compression": "gzip"}),
    "NXevent heights": (".nxevent", {"values": "pulse_height"}),
    "stempy 1": (".stempy", {"version": 1}),
    "stempy 2": (".stempy", {"version": 2}),
    "stempy 3": (".stempy", {"version": 3}),
    "hspy": (".hspy", {}),
    "zspy": (".zspy", {}),
}


@st.composite
def counts(draw):
    """Dense counts: zero to three navigation axes, rows and whole scans that are empty, counts up to the type's end."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)) + [
        draw(st.integers(1, 6)),
        draw(st.integers(1, 5)),
    ]
    dtype = np.dtype(draw(st.sampled_from(["u1", "u2", "u4"])))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    dense = rng.integers(1, 4, shape) * (rng.random(shape) < draw(st.sampled_from([0, 0.1, 0.6, 1])))
    dense.reshape(-1, *shape[-2:])[rng.random(np.prod(shape[:-2])) < 0.4] = 0
    # 300 rows per position in version 3 of stempy, and as many repeats elsewhere, are enough to see
    dense.flat[rng.integers(dense.size)] = draw(st.sampled_from([0, 255, min(300, np.iinfo(dtype).max)]))
    return dense.astype(dtype)


def foreign_raw_csr(folder, dense, indptr, byte_order):
    """A raw_csr data set as another program writes it: no record, any type of indptr and byte order."""
    frames = CSRFrames.from_dense(dense)
    types = {"indptr": indptr, "indices": f"{byte_order}i4", "data": dense.dtype.newbyteorder(byte_order).str}
    lines = ["[params]", 'filetype = "raw_csr"', f"nav_shape = {list(dense.shape[:-2])}"]
    lines += [f"sig_shape = {list(dense.shape[-2:])}", "[raw_csr]"]
    for part, dtype in types.items():
        getattr(frames, part).astype(dtype).tofile(folder / f"{part}.raw")
        lines += [f'{part}_file = "{part}.raw"', f'{part}_dtype = "{dtype}"']
    (folder / "foreign.toml").write_text("\n".join(lines))
    return folder / "foreign.toml"


def same(path, dense, axes):
    s = hs.load(path, lazy=True)
    assert s.data.dtype == dense.dtype and s.data.shape == dense.shape
    assert np.array_equal(np.asarray(s.data), dense)
    found = [(axis.name, axis.scale, axis.offset, axis.units) for axis in s.axes_manager._axes]
    assert found == [(axis["name"], axis["scale"], axis["offset"], axis["units"]) for axis in axes]
    if path.suffix not in (".hspy", ".zspy"):
        # the picture to navigate by, and a bound of what each row holds, are there without reading
        entries = (dense != 0).sum(axis=(-2, -1))
        assert np.all(source_of(s.data).row_events() >= entries.ravel()) and s.navigator is not None
    return s


@pytest.mark.parametrize("first", FORMATS)
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(dense=counts())
def test_counts_pass_through_every_pair_of_formats(tmp_path_factory, first, dense):
    folder = tmp_path_factory.mktemp("pair")
    signal = signal_dict(lazy(dense))
    file_writer(folder / "begin.toml", signal)
    one = folder / f"one{FORMATS[first][0]}"
    hs.load(folder / "begin.toml", lazy=True).save(one, **FORMATS[first][1])
    s = same(one, dense, signal["axes"])
    for i, (second, (ending, options)) in enumerate(FORMATS.items()):
        two = folder / f"two{i}{ending}"
        if second in ("hspy", "zspy"):  # HyperSpy writes them
            s.save(two)
        else:
            convert(one, two, writer_options=options, verify=True, show_progressbar=False)
        again = same(two, dense, signal["axes"])
        assert again.metadata.General.title == "it's a test'''"
        assert ("Processing" in again.metadata.General) == (second not in ("hspy", "zspy"))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    dense=counts().filter(lambda dense: dense.ndim == 4),
    indptr=st.sampled_from(["uint64", ">u8", "int32", "<i8", "uint16"]),
    byte_order=st.sampled_from("<>"),
    name=st.sampled_from([name for name in FORMATS if name not in ("hspy", "zspy")]),
)
def test_foreign_raw_csr_of_any_types_becomes_every_format(tmp_path_factory, dense, indptr, byte_order, name):
    folder = tmp_path_factory.mktemp("foreign")
    path = foreign_raw_csr(folder, dense, indptr, byte_order)
    ending, options = FORMATS[name]
    convert(path, folder / f"x{ending}", writer_options=options, verify=True, show_progressbar=False)
    found = hs.load(folder / f"x{ending}", lazy=True)
    assert found.data.dtype == dense.dtype and np.array_equal(np.asarray(found.data), dense)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("hspy", "zspy")])
def test_frames_with_time_bins_are_saved_and_converted(tmp_path, name):
    recording = tmp_path / "scan.tpx3"
    simulate.recording(
        recording, (5, 7), n_frames=3, dwell_time="20 us", frame_flyback="0.5 ms", electrons_per_position=150,
        layout="single", seed=5,
    )  # fmt: skip
    options = {"navigation_shape": (7, 5, 3), "time_bins": 2}
    ending, how = FORMATS[name]
    s = hs.load(recording, lazy=True, **options)
    s.axes_manager["x"].scale, s.axes_manager["x"].units = 0.25, "nm"
    s.save(tmp_path / f"saved{ending}", **how)
    convert(
        recording, tmp_path / f"converted{ending}", reader_options=options, writer_options=how, verify=True,
        show_progressbar=False,
    )  # fmt: skip
    dense = s.data.compute().todense()
    assert dense.shape == (2, 3, 5, 7, 256, 256) and dense.max() > 1
    for way in ("saved", "converted"):
        again = hs.load(tmp_path / f"{way}{ending}", lazy=True)
        assert type(again) is type(s) and again.data.dtype == s.data.dtype
        assert np.array_equal(again.data.compute().todense(), dense)
        assert [axis.name for axis in again.axes_manager.navigation_axes] == ["x", "y", "frame", "time in dwell"]
        assert again.axes_manager["time in dwell"].units == "s"
        assert again.axes_manager["time in dwell"].scale == s.axes_manager["time in dwell"].scale
        if again.navigator.metadata.Signal.quantity == "Counts":
            assert np.array_equal(again.navigator.data, s.navigator.data)
    assert hs.load(tmp_path / f"saved{ending}", lazy=True).axes_manager["x"].scale == 0.25


def _axis_changed(dense, key, value):
    signal = signal_dict(lazy(dense))
    signal["axes"][0].pop(key)
    if value is not None:
        signal["axes"][0][key] = value
    return signal


@pytest.mark.parametrize("name", ["raw_csr", "NXevent", "stempy 2"])
def test_axes_without_scale_or_offset_are_read_again(name, tmp_path):
    plugin = {"raw_csr": raw_csr, "NXevent": nxevent, "stempy 2": stempy}[name]
    dense = np.ones((2, 3, 4, 5), np.uint8)
    for key, usual in (("scale", 1.0), ("offset", 0.0)):
        path = tmp_path / f"{key}{FORMATS[name][0]}"
        plugin.file_writer(path, _axis_changed(dense, key, None), show_progressbar=False)
        [found] = plugin.file_reader(path, lazy=True)
        assert found["axes"][0][key] == usual


@pytest.mark.parametrize("name", ["raw_csr", "NXevent", "stempy 2"])
def test_axes_that_reading_would_refuse_are_not_written(name, tmp_path):
    plugin = {"raw_csr": raw_csr, "NXevent": nxevent, "stempy 2": stempy}[name]
    dense = np.ones((2, 3, 4, 5), np.uint8)
    for key, odd in (("scale", np.nan), ("scale", 0.0), ("scale", "1 nm"), ("offset", np.inf), ("units", 5)):
        with pytest.raises(ValueError, match="Correct it in s.axes_manager"):
            plugin.file_writer(tmp_path / f"a{FORMATS[name][0]}", _axis_changed(dense, key, odd))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_names_and_units_that_nobody_gave_stay_undefined(name, tmp_path):
    """An empty text is another answer: pyXem takes undefined units for pixels."""
    ending, options = FORMATS[name]
    signal = hs.signals.Signal2D(np.ones((2, 3, 4, 5), np.uint8))
    for axis, text in ((signal.axes_manager[0], "x"), (signal.axes_manager[1], "")):
        axis.name = axis.units = text
    sparse = hyperspy_sparse.to_sparse(signal)
    sparse.save(tmp_path / f"scan{ending}", **options)
    loaded = hs.load(tmp_path / f"scan{ending}")
    for axis, like in zip(loaded.axes_manager._axes, signal.axes_manager._axes, strict=True):
        assert (axis.name, axis.units) == (like.name, like.units)
