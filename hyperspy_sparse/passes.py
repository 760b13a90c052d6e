"""Many results from one reading of the data."""

import dask
import numpy as np

__all__ = ["one_pass"]


def one_pass(
    signal,
    *,
    sum_pattern=True,
    total_counts=True,
    center_of_mass=True,
    detectors=None,
    scheduler=None,
):
    """Sum pattern, counts per position, centre of mass and virtual images together.

    Each block of the data is read and decoded once, whatever is asked for.

    Parameters
    ----------
    signal : one of the sparse signal classes
    sum_pattern, total_counts, center_of_mass : bool
        Which of these to compute.
    detectors : dict of str to ROI or mask, optional
        Virtual detectors: HyperSpy regions of interest over the signal axes, or arrays of bool of
        shape (height, width).
    scheduler : str, optional
        Passed to :func:`dask.compute`.

    Returns
    -------
    dict
        "sum_pattern": the frames added up. "total_counts": counts per position.
        "center_of_mass": pyXem's beam shift, as ``get_direct_beam_position`` gives it. And one
        virtual image under each name of `detectors`. All in memory, in the host's classes.

    Raises
    ------
    ValueError
        If a name in `detectors` is one of the three above.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> found = hyperspy_sparse.one_pass(s, detectors={"bright": hs.roi.CircleROI(0, 0, 0.2)})
    >>> sorted(found)
    ['bright', 'center_of_mass', 'sum_pattern', 'total_counts']
    """
    detectors = dict(detectors or {})
    taken = {"sum_pattern", "total_counts", "center_of_mass"} & set(detectors)
    if taken:
        raise ValueError(f"detectors cannot be called {sorted(taken)}: these are results already.")
    lazy = {}
    if sum_pattern:
        lazy["sum_pattern"] = signal.sum(axis=signal.axes_manager.navigation_axes)
    if total_counts:
        lazy["total_counts"] = signal.sum(axis=signal.axes_manager.signal_axes).T
    if center_of_mass:
        lazy["center_of_mass"] = signal.get_direct_beam_position(method="center_of_mass")
    lazy.update(_images(signal, detectors))
    arrays = dask.compute(*(s.data for s in lazy.values()), scheduler=scheduler)
    return {
        name: _in_memory(s, array) for (name, s), array in zip(lazy.items(), arrays, strict=True)
    }


def _images(signal, detectors):
    from hyperspy_sparse.detectors import mask_of, masked_sums

    if not detectors:
        return {}
    masks = [mask_of(signal, detector)[0] for detector in detectors.values()]
    dtype = np.sum(np.zeros(1, signal.data.dtype)).dtype
    sums = masked_sums(signal.data, masks, dtype)
    images = {}
    for i, name in enumerate(detectors):
        image = signal._deepcopy_with_new_data(sums[..., i])
        image._remove_axis([a.index_in_axes_manager for a in signal.axes_manager.signal_axes])
        image.set_signal_type("")
        image.metadata.General.title = name
        images[name] = image.T
    return images


def _in_memory(signal, array):
    signal.data = array
    signal._lazy = False
    signal._assign_subclass()
    return signal
