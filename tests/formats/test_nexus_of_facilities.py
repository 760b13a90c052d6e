"""Kind of fault: a writer's own convention is taken for the format's (NeXus event data of other facilities)."""

import logging

import numpy as np
import pytest
from test_files_of_others import EVENTS, events_of, values, write_nexus

from rsciio_tpx3 import nxevent
from rsciio_tpx3.exceptions import FormatError

h5py = pytest.importorskip("h5py")

SHAPE, DETECTOR = (3, 4, 5, 7), (5, 7)
OPTIONS = {"navigation_shape": (4, 3), "signal_shape": (7, 5), "lazy": True}
COLUMNS_FIRST = np.arange(35).reshape(7, 5).T  # what a detector has that numbers along y first


@pytest.fixture
def counts():
    found = np.random.default_rng(4).poisson(0.4, SHAPE)
    found[0, 0, 1, 2] += 1  # neither the first nor the last position is empty
    found[-1, -1] = 0
    return found


CLASSES = {
    "bytes": np.bytes_("NXdetector"),
    "a list of bytes": np.array([b"NXdetector"]),
    "a list of text": np.array(["NXdetector"], object),
    "padded by blanks": np.array(b"NXdetector    "),
    "padded by zeros": np.array(b"NXdetector", "S20"),
}


@pytest.mark.parametrize("way", CLASSES)
def test_a_class_is_known_however_it_was_written(tmp_path, counts, way):
    """Where the detector was not known for one, its numbers were not used, and events lay elsewhere."""
    ids, index = events_of(counts)
    path = write_nexus(tmp_path / "a.nxs", COLUMNS_FIRST.ravel()[ids], index, COLUMNS_FIRST)
    text = CLASSES[way]
    kind = {"dtype": h5py.string_dtype()} if text.dtype == object else {}
    with h5py.File(path, "a") as file:
        file["entry/instrument/detector"].attrs.create("NX_class", text, **kind)
        more = np.array([b"NXevent_data"]) if text.ndim else np.bytes_("NXevent_data")
        file[EVENTS].attrs.create("NX_class", more)
    assert np.array_equal(values(nxevent.file_reader(path, **OPTIONS)), counts)


def test_numbers_of_a_detector_that_lies_across_are_refused(tmp_path, counts):
    ids, index = events_of(counts)
    path = write_nexus(tmp_path / "a.nxs", ids, index, np.arange(35).reshape(7, 5))
    with pytest.raises(FormatError, match=r"Pass signal_shape=\(5, 7\)"):
        nxevent.file_reader(path, **OPTIONS)
    plain = write_nexus(tmp_path / "b.nxs", ids, index, np.arange(35))  # a list tells no shape
    assert np.array_equal(values(nxevent.file_reader(plain, **OPTIONS)), counts)


def test_an_index_that_may_be_of_ends_is_reported(tmp_path, counts, caplog):
    counts[-1, -1, 0, 0] = 3
    ids, index = events_of(counts)
    path = write_nexus(tmp_path / "a.nxs", ids, np.append(index[1:], len(ids)))
    with caplog.at_level(logging.WARNING):
        nxevent.file_reader(path, **OPTIONS)
    assert "ends of the positions" in " ".join(caplog.text.split())


def test_events_beyond_the_total_are_reported(tmp_path, counts, caplog):
    ids, index = events_of(counts)
    path = write_nexus(tmp_path / "a.nxs", np.append(ids, np.zeros(50, int)), index, total_counts=len(ids))
    with caplog.at_level(logging.WARNING):
        nxevent.file_reader(path, **OPTIONS)
    assert f"total_counts in '/{EVENTS}' of 'a.nxs' is {len(ids)}, but there are {len(ids) + 50} events" in caplog.text


def test_detectors_in_other_files_are_reported(tmp_path, counts, caplog):
    ids, index = events_of(counts)
    with h5py.File(tmp_path / "geometry.h5", "w") as other:
        other.create_group("detector").attrs["NX_class"] = "NXdetector"
        other["detector/detector_number"] = COLUMNS_FIRST
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file.create_group("entry/instrument").attrs["NX_class"] = "NXinstrument"
        file["entry"].attrs["NX_class"] = "NXentry"
        file["entry/instrument/bank"] = h5py.ExternalLink("geometry.h5", "detector")
        file["entry/events/event_id"], file["entry/events/event_index"] = ids, index
        file["entry/events"].attrs["NX_class"] = "NXevent_data"
    with caplog.at_level(logging.WARNING):
        nxevent.file_reader(tmp_path / "a.nxs", **OPTIONS)
    assert "what numbers the pixels may be elsewhere" in caplog.text and "geometry.h5" in caplog.text


@pytest.mark.parametrize("where", ["entry/instrument/detector/detector_number", EVENTS + "/event_index"])
def test_damaged_numbers_are_not_absent_ones(tmp_path, counts, where):
    ids, index = events_of(counts)
    path = write_nexus(tmp_path / "a.nxs", COLUMNS_FIRST.ravel()[ids], index, COLUMNS_FIRST)
    with h5py.File(path) as file:
        place = h5py.h5o.get_info(file[where].id).addr
    content = bytearray(path.read_bytes())
    content[place] ^= 32  # the version of its head
    path.write_bytes(content)
    with pytest.raises(FormatError, match="cannot be opened|object header"):
        nxevent.file_reader(path, **OPTIONS)
