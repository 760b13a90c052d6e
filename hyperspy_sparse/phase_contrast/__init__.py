"""Phase from electrons: tilted images, and what direct methods make of them.

One pass over the events fills an image of the scan for each group of bright-field pixels (`tilted`). All methods are
weights of these images in Fourier space (`transform`), so what they take beyond the pass is one Fourier transform
for each image, whatever the number of electrons or of detector pixels.
"""

import importlib

_PUBLIC = {
    "AberrationFit": "fit",
    "LineAccumulator": "lines",
    "error_map": "electrons",
    "fit_aberrations": "fit",
    "fourier_ring_correlation": "electrons",
    "phase": "image",
    "split_electrons": "electrons",
    "tilted_images": "tilted",
}

__all__ = [*_PUBLIC]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
