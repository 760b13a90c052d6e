"""Our dialogs in HyperSpy's registry of user interfaces.

The keys of the dialogs stand in ``hyperspy_extension.yaml``. The widgets are registered here, when a dialog is first
made, and not in that file: HyperSpy takes a toolkit for installed as soon as an extension names it there, and would
tell people without hyperspy_gui_ipywidgets to install something else for HyperSpy's own dialogs.
"""

from importlib.util import find_spec

from hyperspy import ui_registry

__all__ = ["KEYS", "TOOLKITS", "register", "toolkey"]

KEYS = ("Load", "Recording", "ScanDelay", "Electrons", "VirtualDetectors", "Preferences")
"""Names of the dialogs; a key of HyperSpy's has the package before it."""

TOOLKITS = {
    "ipywidgets": "hyperspy_sparse.gui.ipywidgets_view",
    "traitsui": "hyperspy_sparse.gui.traitsui_view",
}
"""Toolkits and the modules that show a `Tool` with them, by a function ``show``."""


def toolkey(name: str) -> str:
    """Key of a dialog in HyperSpy's registry."""
    return f"hyperspy_sparse.{name}"


def register() -> None:
    """Name our widgets to HyperSpy, for the toolkits that are installed."""
    for toolkit, module in TOOLKITS.items():
        if find_spec(toolkit) is None:
            continue
        ui_registry.TOOLKIT_REGISTRY.add(toolkit)
        for name in KEYS:
            shown = {"module": module, "function": "show"}
            ui_registry.UI_REGISTRY.setdefault(toolkey(name), {}).setdefault(toolkit, shown)
