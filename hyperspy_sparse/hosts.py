"""pyXem's import, which takes most of the first load, while Python's garbage collector rests.

HyperSpy imports this module (the ``package`` of what our readers give) before it looks for the class of a signal.
Importing makes objects by the hundred thousand, and nearly all of them stay: the collector looks through them some
thousand times, for a quarter of the time, and frees next to nothing (``python -m benchmarks.startup``).
"""

import gc

_collects = gc.isenabled()
gc.disable()
try:
    import pyxem.signals  # noqa: F401
finally:
    if _collects:
        gc.enable()
