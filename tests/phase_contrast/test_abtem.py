"""From a multislice simulation of abTEM to a recording and back to its phase: run by tests/environments/with_abtem."""

import numpy as np
import pytest

pytest.importorskip("abtem", reason="abTEM is not installed (it wants zarr above 3, pyXem below)")
pytest.importorskip("ase.build")

import from_abtem as way  # noqa: E402

import hyperspy_sparse  # noqa: E402


def _phases(tmp_path, methods, electrons=20_000, **options):
    patterns, pixel_angle, true = way.simulated((20, 24), **options)
    signal, disk = way.recorded(tmp_path / "graphene.tpx3", patterns, pixel_angle, electrons, **options)
    found = {m: hyperspy_sparse.phase(signal, m, show_progressbar=False, **disk).data for m in methods}
    inner = (slice(4, -4), slice(4, -4))  # the scan is no period of the layer
    return {m: way.correlation(value[inner], true[inner]) for m, value in found.items()}, found, true


def test_graphene_in_focus_comes_back_by_every_method(tmp_path):
    reached, found, true = _phases(tmp_path, ("ssb", "obf", "ls", "wdd", "icom"))
    assert min(reached.values()) > 0.8, reached
    inner = (slice(4, -4), slice(4, -4))
    scale = np.polyfit(true[inner].ravel(), found["ls"][inner].ravel(), 1)[0]
    assert scale == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("overfocus", [-12.0, 9.0])
@pytest.mark.parametrize("rotation", [35.0, -110.0])
def test_defocus_and_rotation_of_the_metadata_are_undone(tmp_path, overfocus, rotation):
    reached, *_ = _phases(tmp_path, ("obf", "ls", "wdd"), overfocus=overfocus, rotation=rotation)
    assert min(reached.values()) > 0.75, reached


def test_parallax_has_the_sense_of_the_phase(tmp_path):
    reached, *_ = _phases(tmp_path, ("parallax",), overfocus=30.0)
    assert reached["parallax"] > 0.3
