"""Dialogs in Qt: a `Tool` as a window of traitsui, with its picture on a canvas of matplotlib."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import traits.api as t
import traitsui.api as tu
from traits.etsconfig.api import ETSConfig
from traitsui.basic_editor_factory import BasicEditorFactory

from hyperspy_sparse.gui.tool import as_text, choice_text, from_text

if TYPE_CHECKING:
    from hyperspy_sparse.gui.tool import Field, Tool

if ETSConfig.toolkit in ("", "qt"):
    ETSConfig.toolkit = "qt"

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg  # noqa: E402  (after the toolkit is chosen)
from pyface.qt import QtCore, QtWidgets  # noqa: E402
from traitsui.qt.editor import Editor  # noqa: E402

__all__ = ["Panel", "show"]


def show(obj: Tool, display: bool = True, **kwargs: Any) -> Any:
    """Show a dialog in a window; HyperSpy's registry of user interfaces calls this.

    Parameters
    ----------
    obj : Tool
    display : bool
        False gives ``(panel, {"view": view, "context": names})``, what `edit_traits` takes.

    Returns
    -------
    traitsui.ui.UI, or tuple

    Raises
    ------
    NotImplementedError
        Where matplotlib does not draw with Qt, as in a notebook: HyperSpy then leaves this toolkit out.
    """
    panel = Panel(tool=obj)
    obj.shown()
    options = {"view": panel.traits_view(), "context": {"object": obj, "panel": panel}}
    if not display:
        return panel, options
    _need_qt()
    return panel.edit_traits(**options)


def _need_qt() -> None:
    import matplotlib

    if matplotlib.get_backend().lower() not in ("qtagg", "qt5agg", "qtcairo", "qt5cairo"):
        raise NotImplementedError(
            "windows need matplotlib's backend for Qt: %matplotlib qt, or matplotlib.use('qtagg')"
        )


class _FigureEditor(Editor):
    """The picture of a `Panel`, drawn again when it is another one."""

    scrollable = True

    def init(self, parent: Any) -> None:
        self.control = FigureCanvasQTAgg(self.value)
        self.control.setMinimumSize(320, 240)

    def update_editor(self) -> None:
        self.control.draw_idle()


class _FigureEditorFactory(BasicEditorFactory):
    klass = _FigureEditor


class _WordsEditor(Editor):
    """Text that wraps, and that can be selected."""

    def init(self, parent: Any) -> None:
        self.control = QtWidgets.QLabel()
        self.control.setWordWrap(self.factory.wraps)
        # a label that wraps asks for a narrow column, whatever room there is
        self.control.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Preferred)
        self.control.setAlignment(QtCore.Qt.AlignmentFlag.AlignTop | QtCore.Qt.AlignmentFlag.AlignLeft)
        self.control.setStyleSheet(self.factory.style)
        self.control.setTextInteractionFlags(QtCore.Qt.TextInteractionFlag.TextSelectableByMouse)

    def update_editor(self) -> None:
        self.control.setText(self.str_value)


class _WordsEditorFactory(BasicEditorFactory):
    klass = _WordsEditor
    style = t.Str()
    wraps = t.Bool(True)


class Panel(t.HasTraits):
    """A dialog with what a window needs in addition: a button for each action, and the figure on its canvas.

    Parameters
    ----------
    tool : Tool
    """

    tool = t.Any()
    figure = t.Any()
    has_picture = t.Bool(False)

    def __init__(self, tool: Tool) -> None:
        from matplotlib.figure import Figure

        super().__init__(tool=tool, figure=Figure(figsize=tool.figure_size, layout="constrained"))
        for action in tool.actions:
            self.add_trait(action.name, t.Button(action.label))
            self.observe(partial(self._press, action.name), action.name)
        for field in tool.fields:
            if isinstance(field.limits, str):
                self._limit(field.limits)
                tool.observe(partial(self._limit, field.limits), field.limits)
        tool.observe(self._draw, "drawn")
        self._draw()

    def _press(self, name: str, event: Any) -> None:
        self.tool.press(name)

    def _limit(self, name: str, event: Any = None) -> None:
        """Both ends of a range by names of their own, as sliders ask for them."""
        for end, value in zip(("low", "high"), getattr(self.tool, name)):
            self.add_trait(f"{name}_{end}", t.Float())
            setattr(self, f"{name}_{end}", value)

    def _draw(self, event: Any = None) -> None:
        self.figure.clear()
        self.tool.draw(self.figure)
        self.has_picture = bool(self.figure.axes)
        if self.figure.canvas is not None:
            self.figure.canvas.draw_idle()

    def traits_view(self) -> tu.View:
        """The window: choices to the left, with a tab for each group; picture and report to the right."""
        named = self.tool.groups()
        main = "Main" if len(named) > 1 else ""
        groups = [tu.VGroup(*map(_item, fields), label=name or main) for name, fields in named.items()]
        left = tu.Group(*groups, layout="tabbed") if len(groups) > 1 else groups[0]
        for group in groups:
            group.scrollable = True
        buttons = tu.HGroup(*(tu.UItem(f"panel.{action.name}", tooltip=action.help) for action in self.tool.actions))
        right = tu.VGroup(
            tu.UItem("panel.figure", editor=_FigureEditorFactory(), visible_when="panel.has_picture", resizable=True),
            *(
                tu.UItem(f"object.{name}", editor=_WordsEditorFactory(style=style), visible_when=f"object.{name}")
                for name, style in (("problem", "color: #b00020"), ("report", _FIXED), ("code", _FIXED))
            ),
        )
        return tu.View(
            tu.HSplit(tu.VGroup(left, buttons), right), title=self.tool.title, resizable=True, width=1100, height=560
        )


def _item(field: Field) -> tu.Item:
    name = f"object.{field.name}"
    return tu.Item(
        name, label=field.label, tooltip=field.help, editor=_EDITORS[field.kind](field),
        visible_when=f"{field.name!r} not in object.hidden", id=field.name,
    )  # fmt: skip


def _choice(field: Field) -> tu.EnumEditor:
    if isinstance(field.choices, str):
        return tu.EnumEditor(name=f"object.{field.choices}")
    # traitsui sorts by the text before a colon, which it does not show
    shown = {choice: f"{i:03d}:{choice_text(choice)}" for i, choice in enumerate(field.choices)}
    return tu.EnumEditor(values=shown)


def _slider(field: Field) -> tu.RangeEditor:
    if isinstance(field.limits, str):
        low, high = (f"panel.{field.limits}_{end}" for end in ("low", "high"))
        return tu.RangeEditor(low_name=low, high_name=high, mode="slider", format_str="%.4g")
    return tu.RangeEditor(low=field.limits[0], high=field.limits[1], mode="slider", format_str="%.4g")


_FIXED = "font-family: monospace"
_ENTER = {"auto_set": False, "enter_set": True}

_EDITORS = {
    "text": lambda field: tu.TextEditor(placeholder=field.placeholder, **_ENTER),
    "value": lambda field: tu.TextEditor(
        placeholder=field.placeholder, evaluate=from_text, format_func=as_text, **_ENTER
    ),
    "file": lambda field: tu.FileEditor(**_ENTER),
    "flag": lambda field: tu.BooleanEditor(),
    "choice": _choice,
    "number": lambda field: tu.TextEditor(evaluate=float, **_ENTER),
    "slider": _slider,
}
