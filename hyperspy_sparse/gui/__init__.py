"""Dialogs: each is a plain Python object with choices and results, and its ``gui()`` shows it as widgets.

The objects need no toolkit and work in scripts. Widgets come from ipywidgets in Jupyter and from traitsui in Qt;
nothing of them is imported before a dialog is shown.
"""

import importlib

_PUBLIC = {
    "Electrons": "hyperspy_sparse.gui.electrons",
    "Load": "hyperspy_sparse.gui.load",
    "Preferences": "hyperspy_sparse.gui.preferences",
    "Recording": "hyperspy_sparse.gui.recording",
    "ScanDelayTool": "hyperspy_sparse.gui.scan_delay",
    "Tool": "hyperspy_sparse.gui.tool",
    "VirtualDetectors": "hyperspy_sparse.gui.virtual_detectors",
}

__all__ = list(_PUBLIC)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
