"""Kind: what h5py's `get` does before it answers: it opens other files, and has None for what is damaged."""

import pytest

h5py = pytest.importorskip("h5py")

from rsciio_tpx3.exceptions import Tpx3FormatError  # noqa: E402
from rsciio_tpx3.utils import hdf5  # noqa: E402


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other.create_group("there").attrs["NX_class"] = "NXevent_data"
    with h5py.File(tmp_path / "a.h5", "w") as made:
        for path, kind in (("a", "NXuser"), ("a/b", "NXdata"), ("m", "NXevent_data"), ("z/y", "NXevent_data")):
            made.create_group(path).attrs["NX_class"] = kind
        made["away"] = h5py.ExternalLink("other.h5", "/there")
        made["nowhere"] = h5py.SoftLink("/not/there")
        made["again"] = h5py.SoftLink("/a/b")
    with h5py.File(tmp_path / "a.h5") as opened:
        yield opened


def test_groups_of_a_class_are_found_behind_groups_of_others(file):
    found, outside = hdf5.groups_of_class(file, "NXevent_data")
    assert sorted(found) == ["/m", "/z/y"]
    assert outside == ["/away -> other.h5"]
    found, outside = hdf5.groups_of_class(file, "NXevent_data", allow_external=True)
    assert sorted(found) == ["/away", "/m", "/z/y"] and not outside


def test_links_are_found_without_a_look_at_what_they_lead_to(file, monkeypatch):
    def opened(*_, **__):
        raise AssertionError("an object was opened")

    monkeypatch.setattr(h5py.Group, "__getitem__", opened)
    monkeypatch.setattr(h5py.Group, "get", opened)
    with pytest.raises(Tpx3FormatError, match=r"external link to '/there' in another file, 'other.h5'"):
        hdf5.find(file, "away")


def test_soft_links_lead_to_their_end_or_to_none(file):
    assert hdf5.find(file, "again").name == "/a/b"
    assert hdf5.find(file, "nowhere") is None
    assert hdf5.find(file, "absent") is None
