"""Axes of a signal for those who know a scale and an offset only."""

from typing import Any

__all__ = ["are_uniform", "require_uniform"]


def are_uniform(axes: Any) -> bool:
    """Whether all of these axes have a scale and an offset."""
    return all(axis.is_uniform for axis in axes)


def require_uniform(axes: Any, what: str) -> None:
    """Refuse axes that have no scale, in HyperSpy's words.

    Parameters
    ----------
    axes : iterable of hyperspy.axes.BaseDataAxis
    what : str
        Who needs them, to begin a sentence.

    Raises
    ------
    NotImplementedError
        If one of the axes lists its values, or computes them.
    """
    others = [str(axis.name) for axis in axes if not axis.is_uniform]
    if others:
        raise NotImplementedError(
            f"{what} cannot operate on a non-uniform axis, and {', '.join(others)} of this signal is one. Interpolate "
            'first: s = s.interpolate_on_axis("uniform", axis).'
        )
