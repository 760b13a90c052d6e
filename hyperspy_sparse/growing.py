"""Recordings that are still being written: load what there is, and later the rest."""

__all__ = ["refresh", "remember"]


def remember(signal, filename, options):
    """Note on a signal how it was loaded with ``follow=True``; a step of loading."""
    signal._followed = filename, options
    return signal


def refresh(signal):
    """Load a recording that was loaded with ``follow=True`` again, as far as it has been written by now.

    Parameters
    ----------
    signal : one of the sparse signal classes
        As `hyperspy.api.load` gave it, and not cut or computed with since; its axes and metadata may have
        been changed.

    Returns
    -------
    hyperspy.api.signals.BaseSignal
        A new signal, loaded with the same options. Names, scales, offsets and units of the axes are those
        of `signal`, and metadata that were added to it stay. `signal` itself can be used as before.

    Raises
    ------
    ValueError
        If the signal was not loaded with ``follow=True``.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("scan.tpx3", navigation_shape=(256, 256), follow=True)  # doctest: +SKIP
    >>> s = hyperspy_sparse.refresh(s)  # doctest: +SKIP
    """
    import hyperspy.api as hs

    if not hasattr(signal, "_followed"):
        raise ValueError(
            f"{signal!r} was not loaded with follow=True, or is not the signal that hs.load gave: there is nothing "
            'to load again. Use s = hs.load("scan.tpx3", follow=True, ...), and later s = refresh(s).'
        )
    filename, options = signal._followed
    new = hs.load(filename, file_format="TPX3", **options)
    _keep_axes(signal, new)
    _keep_metadata(signal.metadata, new.metadata)
    return new


def _keep_axes(old, new):
    # from the last one on: where a second frame began meanwhile, its axis is the first
    for before, axis in zip(old.axes_manager._axes[::-1], new.axes_manager._axes[::-1]):
        for name in ("name", "scale", "offset", "units"):
            setattr(axis, name, getattr(before, name))


def _keep_metadata(old, new, path=""):
    """Add what only the old signal has; what loading finds out is told by the new one."""
    old.process_lazy_attributes()
    for key in old.keys():
        value, full = old[key], f"{path}{key}"
        if isinstance(value, type(old)):
            _keep_metadata(value, new, f"{full}.")
        elif not new.has_item(full):
            new.set_item(full, value)
