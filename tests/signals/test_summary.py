"""What a sparse signal says of itself."""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse.summary import Summary
from rsciio_tpx3 import simulate

SHAPE = (7, 11)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("summary") / "scan.tpx3"
    truth = simulate.recording(path, SHAPE, dwell_time="5 us", electrons_per_position=20)
    return path, truth


def _load(path, **options):
    return hs.load(path, navigation_shape=SHAPE[::-1], layout="quad", dwell_time="5 us", **options)


def test_a_signal_says_how_many_events_it_has_and_where_they_are(recording):
    text = repr(_load(recording[0]))
    assert text.splitlines()[0].endswith("dimensions: (11, 7|512, 512)>")
    assert "entries in memory" in text and "hits" in text and "at scan positions" in text
    assert "dwell time 5 us" in text and "dense 19.25 MiB" in text
    assert "CHECK" not in text


def test_numbers_are_those_of_the_metadata(recording):
    s = _load(recording[0], cluster=True)
    summary = s.recording
    scan = s.metadata.Acquisition_instrument.TEM.Scan
    assert summary.event == "electrons" and summary.placed == scan.electrons_placed
    assert summary.total == scan.electrons_placed + sum(summary.outside.values())
    assert summary.entries == sum(chunk.compute().nnz for chunk in s.data.to_delayed().ravel())


def test_showing_a_signal_does_not_read_its_recording(recording):
    s = _load(recording[0], frames=0, lazy=True)
    assert "not read yet" in repr(s) and "not read yet" in s._repr_html_()
    assert s.metadata.get_item("Acquisition_instrument.TEM.Scan.lines_found") is None
    assert s.recording.placed > 0  # who asks for the summary has it read
    assert "not read yet" not in repr(s)


@pytest.mark.slow
@pytest.mark.parametrize("derive", [lambda s: s, lambda s: s.inav[2:, 1:], lambda s: s.isig[5:, 9:]])
def test_what_is_in_memory_is_distinguished_from_what_is_read_on_demand(recording, derive):
    assert derive(_load(recording[0])).recording.in_memory
    assert not derive(_load(recording[0], lazy=True)).recording.in_memory


def test_losses_stand_out(recording, tmp_path):
    data = recording[0].read_bytes()
    path = tmp_path / "damaged.tpx3"
    path.write_bytes(data[:2000] + bytes(64) + data[2064:])
    s = _load(path, on_loss="warn")
    lost = s.metadata.Acquisition_instrument.TEM.Detector.Losses.as_dictionary()
    assert s.recording.losses == lost and s.recording.notable
    assert "CHECK" in repr(s) and "font-weight: bold" in s._repr_html_()


def test_flyback_is_expected_and_other_events_without_a_position_are_not():
    assert not Summary(event="hits", total=1000, placed=700, outside={"in_flyback": 300}).notable
    assert not Summary(event="hits", total=1000, placed=995, outside={"after_the_last_line": 5}).notable
    assert Summary(event="hits", total=1000, placed=900, outside={"after_the_last_line": 100}).notable == [
        "10.0% of the hits after the last line"
    ]
    elsewhere = {"in_lines_left_out_of_the_scan": 500}
    assert not Summary(event="hits", total=1000, placed=500, outside=elsewhere, frames_chosen=True).notable
    assert Summary(event="hits", total=1000, placed=500, outside=elsewhere).notable


def test_signals_without_a_recording_say_what_they_know():
    text = repr(hyperspy_sparse.data.disks())
    assert "entries in memory" in text and "recording" not in text


def test_dense_results_look_as_those_of_the_host(recording):
    s = _load(recording[0])
    dense = s.isig[:20, :20].deepcopy()
    dense.data = np.zeros((*SHAPE, 20, 20))
    assert len(repr(dense).splitlines()) == 1


def test_text_of_a_file_is_text_in_html():
    assert "<b>" not in Summary(losses={"<b>": 1})._repr_html_()


def test_the_summary_is_drawn(recording):
    figure = _load(recording[0]).recording.plot()
    image = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(image, _load(recording[0]).sum(axis=(2, 3)).data)
    plt.close(figure)


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="expected a signal"):
        hyperspy_sparse.recording_summary(np.zeros(3))


def test_frames_that_are_held_since_their_second_use_are_in_the_summary(recording):
    s = _load(recording[0])
    half = s.rebin(scale=(1, 1, 2, 2))
    for n in range(3):
        assert s.recording.held_size == 0 and (half.recording.held_size > 0) == (n == 2)
        assert ("held since the second use" in repr(half)) == ("held since" in half._repr_html_()) == (n == 2)
        half.sum(axis=(0, 1)).compute()
    frames = half.data.compute()
    # counts of a byte, pixel numbers, and where each row begins
    assert half.recording.held_size == frames.nnz + frames.indices.nbytes + 8 * (SHAPE[0] * SHAPE[1] + 1)
