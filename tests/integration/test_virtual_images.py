"""Many virtual detectors: pyXem's stack from one pass, whatever the scan axes."""

import hyperspy.api as hs
import numpy as np
import pytest
from same_results import check_same

import hyperspy_sparse
from hyperspy_sparse.twins import choose_class, densified

SCANS = {
    "one axis": lambda s: s.inav[2],
    "two axes": lambda s: s,
    "three axes": lambda s: hs.stack([s, s * 2], show_progressbar=False),
}


def in_dense(signal):
    dense = signal._deepcopy_with_new_data(densified(signal.data))
    choose_class(dense)
    return dense


def regions(n):
    return [hs.roi.CircleROI(0, 0, 0.1 * i + 0.1, 0.1 * i) for i in range(n)] + [
        hs.roi.RectangularROI(-0.3, -0.3, 0.2, 0.1)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize(
    "options", [{}, {"new_axis_dict": {"name": "ring", "scale": 2, "units": "px"}}, {"normalize": True}]
)
def test_a_stack_of_many_is_the_stack_of_dense_data(scan, options):
    signal = SCANS[scan](hyperspy_sparse.data.disks())
    ours, theirs = (s.get_virtual_image(regions(4), **options) for s in (signal, in_dense(signal)))
    check_same(ours, theirs)


def test_one_signal_is_made_for_many_regions(monkeypatch):
    made = []
    signal = hyperspy_sparse.data.disks()
    one = type(signal).get_integrated_intensity
    monkeypatch.setattr(
        type(signal), "get_integrated_intensity", lambda self, roi, *args: (made.append(roi), one(self, roi, *args))[1]
    )
    images = signal.get_virtual_image(regions(15))
    assert len(made) == 2 and images.data.shape == (16, *signal.data.shape[:2])


@pytest.mark.slow
def test_lists_that_cannot_be_done_in_one_pass_take_the_ordinary_way():
    signal = hyperspy_sparse.data.disks()
    rois = [*regions(2), hs.roi.Line2DROI(-0.3, -0.3, 0.3, 0.3, 0.1)]
    outcomes = []
    for s in (signal, in_dense(signal)):
        try:
            outcomes.append(s.get_virtual_image(rois).data.compute())
        except Exception as error:  # noqa: BLE001  (whatever pyXem says to a line)
            outcomes.append(type(error))
    assert np.array_equal(*outcomes) if isinstance(outcomes[0], np.ndarray) else outcomes[0] is outcomes[1]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("get_integrated_intensity", [None]), ("get_virtual_image", [[]]), ("get_variance", [4])],
)
def test_frames_of_no_diffraction_name_the_type_that_has_the_method(name, arguments):
    signal = hyperspy_sparse.to_sparse(hs.signals.Signal2D(np.ones((2, 3, 4, 5), np.uint8)))
    with pytest.raises(AttributeError, match=f"no {name}, which pyXem has.*set_signal_type"):
        getattr(signal, name)(*arguments)
