"""How counts scatter that were added up over an area of the detector.

HyperSpy reads ``Signal.Noise_properties.Variance_linear_model`` for each element of the data: one pixel at one
position, which an electron hits once or not at all, so that its counts are Poisson. The hits of one electron lie in
neighbouring pixels, though, and are not independent: added up over an area they scatter more. By how much is a
property of the recording, kept under a name of its own, and a virtual image gets it as its own model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["AREA_FACTOR", "MODEL", "after_binning", "of_area"]

AREA_FACTOR = "Acquisition_instrument.TEM.Detector.area_variance_factor"
MODEL = "Signal.Noise_properties.Variance_linear_model"

_LARGE = 16
"""Pixels, in units of the hits of an electron, from which an area cuts few clusters at its border."""


def of_area(image: BaseSignal, signal: BaseSignal, n_pixels: int) -> None:
    """Give an image of sums over the detector the model of its noise, where that is known.

    Parameters
    ----------
    image : hyperspy.api.signals.BaseSignal
        Changed in place.
    signal : hyperspy.api.signals.BaseSignal
        Whose counts were added up.
    n_pixels : int
        Size of the area. One that is not much larger than a cluster scatters less than the factor says, and gets
        no model.
    """
    factor = _factor(signal, n_pixels)
    if factor is None:
        return
    image.metadata.set_item(MODEL, {})
    image.metadata.get_item(MODEL).add_dictionary(_model(factor))


def after_binning(binned: BaseSignal, signal: BaseSignal, factors: Sequence) -> None:
    """The same for a signal whose pixels are areas now; `factors` are those along the detector's axes."""
    n_pixels = math.prod(factors)
    # The model is one of single pixels, and these are areas now.
    if n_pixels == 1 or not binned.metadata.has_item(MODEL):
        return
    del binned.metadata.Signal.Noise_properties.Variance_linear_model
    of_area(binned, signal, n_pixels)


def _factor(signal: BaseSignal, n_pixels: int) -> float | None:
    model = signal.metadata.get_item(MODEL)
    factor = signal.metadata.get_item(AREA_FACTOR)
    if model is None or factor is None:
        return None
    plain = [model.get_item(name, default) for name, default in (("gain_factor", 1), ("gain_offset", 0))]
    if plain != [1, 0] or model.get_item("correlation_factor", 1) != 1:
        return None  # somebody's own model: they know what it means for areas
    return float(factor) if factor == 1 or n_pixels >= _LARGE * factor else None


def _model(factor: float) -> dict:
    about = "Poisson electrons of several hits each: variance over mean of counts added up over an area"
    return {
        "gain_factor": 1.0,
        "gain_offset": 0.0,
        "correlation_factor": factor,
        "model": about if factor != 1 else "Poisson: one count per electron",
    }
