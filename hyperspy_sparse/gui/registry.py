"""Our dialogs in HyperSpy's registry of user interfaces.

The keys of the dialogs stand in ``hyperspy_extension.yaml``. The widgets are registered here, while a dialog
is made, and not in that file: HyperSpy takes a toolkit for installed as soon as an extension names it there, and would
tell people without hyperspy_gui_ipywidgets to install something else for HyperSpy's own dialogs.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from hyperspy import ui_registry

__all__ = ["KEYS", "TOOLKITS", "add_gui", "toolkey"]

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


def add_gui(name: str) -> Callable[[type], type]:
    """Give a class the method ``gui`` of HyperSpy's `add_gui_method`, with our widgets.

    A toolkit is named to HyperSpy only while the method runs. It has no dialogs of HyperSpy's own: as long as it is
    named, ``s.plot()`` of a scan with more than two axes wants its sliders, and raises where there are none.

    Parameters
    ----------
    name : str
        One of `KEYS`.
    """

    def add(tool: type) -> type:
        tool = ui_registry.add_gui_method(toolkey(name))(tool)
        of_hyperspy = tool.gui

        @functools.wraps(of_hyperspy)
        def gui(self: Any, *args: Any, **kwargs: Any) -> Any:
            with _registered():
                return of_hyperspy(self, *args, **kwargs)

        tool.gui = gui
        return tool

    return add


@contextmanager
def _registered() -> Iterator[None]:
    """Our widgets in HyperSpy's registry, for the toolkits that are installed."""
    toolkits = {toolkit for toolkit in TOOLKITS if find_spec(toolkit) is not None}
    new = toolkits - ui_registry.TOOLKIT_REGISTRY
    for toolkit in toolkits:
        for name in KEYS:
            shown = {"module": TOOLKITS[toolkit], "function": "show"}
            ui_registry.UI_REGISTRY.setdefault(toolkey(name), {}).setdefault(toolkit, shown)
    ui_registry.TOOLKIT_REGISTRY.update(new)
    try:
        yield
    finally:
        ui_registry.TOOLKIT_REGISTRY.difference_update(new)
