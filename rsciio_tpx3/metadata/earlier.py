"""What earlier versions of this package wrote under names, or with meanings, that are no longer theirs.

Two quantities changed before version 1.0. The factor by which the hits of an area scatter more than Poisson stood as
the ``correlation_factor`` of HyperSpy's linear model of the variance, which is one of single elements; and the drift of
frames stood as the shift that was added to them, with the sign opposite to HyperSpy's ``estimate_shift2D``. Both say
by themselves that they are of old: the model by its text, the drift by its name.
"""

import copy
import logging

import numpy as np

__all__ = ["renewed"]

_logger = logging.getLogger(__name__)

_OF_AREAS = "Poisson electrons of several hits each"
_OF_ELECTRONS = "Poisson: one count an electron"
_OF_ELEMENTS = {"gain_factor": 1.0, "gain_offset": 0.0, "correlation_factor": 1.0}


def renewed(metadata, where):
    """Metadata with the names and meanings of today; what was changed is logged.

    Parameters
    ----------
    metadata : dict
        HyperSpy's tree, as nested dictionaries. Not changed.
    where : str
        For the message: the file or signal.

    Returns
    -------
    dict
        `metadata` itself where nothing in it is of old.
    """
    changes = [change for change in (_noise, _drift) if change(metadata, False)]
    if not changes:
        return metadata
    metadata = copy.deepcopy(metadata)
    for change in changes:
        _logger.warning(f"{where} was written by an earlier version: {change(metadata, True)}")
    return metadata


def _node(tree, *path):
    """The dictionary at a path, or an empty one that is not in the tree."""
    for name in path:
        tree = tree.get(name)
        if not isinstance(tree, dict):
            return {}
    return tree


def _noise(metadata, change):
    """Whether the model of the noise is of old; where it is to be changed, what was done."""
    properties = _node(metadata, "Signal", "Noise_properties")
    model = _node(properties, "Variance_linear_model")
    text, factor = model.get("model"), model.get("correlation_factor")
    known = isinstance(text, str) and text.startswith((_OF_AREAS, _OF_ELECTRONS))
    known = known and isinstance(factor, int | float)
    if not known or not change:
        return known
    electrons = text.startswith(_OF_ELECTRONS)
    words = "Poisson: one count per electron" if electrons else "Poisson: at most one hit of each electron in a pixel"
    properties["Variance_linear_model"] = {**_OF_ELEMENTS, "model": words}
    detector = metadata
    for name in ("Acquisition_instrument", "TEM", "Detector"):
        detector = detector.setdefault(name, {})
    detector.setdefault("area_variance_factor", float(factor))
    return (
        f"the factor {factor:g} of its noise model holds for areas, and is Detector.area_variance_factor now; the "
        "model is that of an element."
    )


def _drift(metadata, change):
    """Whether the drift is of old; where it is to be changed, what was done."""
    drift = _node(metadata, "Acquisition_instrument", "TEM", "Scan", "Drift")
    old = [name for name in ("shift_x", "shift_y") if name in drift]
    if not old or not change:
        return bool(old)
    for name in old:
        values = drift.pop(name)
        new = name.replace("shift", "displacement")
        drift[new] = (0.0 - np.asarray(values, float)).tolist()
        for ending in ("_units", "_errors"):
            if name + ending in drift:
                drift[new + ending] = drift.pop(name + ending)
    return "Drift.shift_x and shift_y are displacement_x and displacement_y now, with the other sign."
