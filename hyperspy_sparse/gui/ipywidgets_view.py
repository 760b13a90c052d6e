"""Dialogs in Jupyter: a `Tool` as ipywidgets, with its picture as an image."""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from IPython.display import display as show_in_notebook

from hyperspy_sparse.gui.tool import as_text, choice_text, from_text

if TYPE_CHECKING:
    from hyperspy_sparse.gui.tool import Field, Tool

__all__ = ["ToolView", "show"]

_DPI = 90
_LABEL = {"description_width": "130px"}
_WIDE = "380px"
_RED = "#b00020"


def show(obj: Tool, display: bool = True, **kwargs: Any) -> dict | None:
    """Show a dialog; HyperSpy's registry of user interfaces calls this.

    Parameters
    ----------
    obj : Tool
    display : bool
        False gives the widgets instead: ``{"widget": box, "wdict": {name: widget}}``.

    Returns
    -------
    dict or None
    """
    view = ToolView(obj)
    obj.shown()
    if not display:
        return {"widget": view.box, "wdict": view.widgets}
    show_in_notebook(view.box)
    return None


class ToolView:
    """Widgets of a dialog, bound to it both ways.

    Attributes
    ----------
    box : ipywidgets.Box
    widgets : dict of str to ipywidgets.Widget
        By the names of fields and actions; and "picture", "report", "problem", "code".
    """

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.widgets: dict[str, w.Widget] = {}
        self._setting = False
        choices = self._choices()
        buttons = w.HBox([self._button(action) for action in tool.actions], layout=w.Layout(flex_flow="row wrap"))
        self._add("picture", w.Image(format="png", layout=w.Layout(max_width="100%", object_fit="contain")))
        for name in ("report", "problem", "code"):
            self._add(name, w.HTML())
        result = [self.widgets[name] for name in ("problem", "picture", "report", "code")]
        right = w.VBox(result, layout=w.Layout(min_width="0", flex="1 1 480px", padding="0 0 0 12px"))
        left = w.VBox([*choices, buttons], layout=w.Layout(flex="0 0 auto"))
        title = w.HTML(f"<h3 style='margin: 0'>{html.escape(tool.title)}</h3>")
        self.box = w.VBox([title, w.HBox([left, right], layout=w.Layout(flex_flow="row wrap"))])
        self._follow()

    def _add(self, name: str, widget: w.Widget) -> w.Widget:
        self.widgets[name] = widget
        return widget

    # -- choices --------------------------------------------------------------------------------------

    def _choices(self) -> list[w.Widget]:
        """The first group as it is, the others to unfold."""
        groups = {
            name: w.VBox([self._widget(field) for field in fields]) for name, fields in self.tool.groups().items()
        }
        first, *others = groups
        if not others:
            return [groups[first]]
        folded = w.Accordion([groups[name] for name in others], selected_index=None, layout=w.Layout(width="400px"))
        for i, name in enumerate(others):
            folded.set_title(i, name)
        return [groups[first], folded]

    def _widget(self, field: Field) -> w.Widget:
        tool = self.tool
        made = _WIDGETS[field.kind](tool, field)
        made.description, made.tooltip, made.style, made.layout.width = field.label, field.help, _LABEL, _WIDE
        read, write = (from_text, as_text) if field.kind == "value" else (_same, _same)

        # Widget and tool observe each other: what comes from the tool must not go back to it, rounded by a slider.
        def to_tool(change: dict) -> None:
            if not self._setting and not _is_snapped(made, getattr(tool, field.name)):
                self._set(field.name, read(change["new"]))

        def to_widget(event: Any = None) -> None:
            self._setting = True
            try:
                made.value = write(getattr(tool, field.name))
            finally:
                self._setting = False

        # ipywidgets forgets the value with the options, so it is set once more.
        def to_choices(event: Any = None) -> None:
            made.options = _options(tool, field)
            to_widget()

        def to_limits(event: Any = None) -> None:
            low, high = getattr(tool, field.limits)
            made.min, made.max = min(low, made.max), high  # never a lowest value above the highest
            made.min, made.step = low, (high - low) / 200 or 1
            to_widget()

        if isinstance(field.choices, str):
            tool.observe(to_choices, field.choices)
        if isinstance(field.limits, str):
            to_limits()
            tool.observe(to_limits, field.limits)
        to_widget()
        made.observe(to_tool, "value")
        tool.observe(to_widget, field.name)
        return self._add(field.name, made)

    def _set(self, name: str, value: Any) -> None:
        """Hand a choice on; one that the tool refuses is said, and the widget shows the old one again."""
        try:
            setattr(self.tool, name, value)
        except (ValueError, TypeError) as error:  # TraitError is a ValueError
            self.tool.problem = str(error)

    def _button(self, action: Any) -> w.Button:
        button = w.Button(description=action.label, tooltip=action.help, layout=w.Layout(width="auto"))

        def pressed(_: Any) -> None:
            button.disabled, before = True, button.description
            button.description = f"{action.label} ..."
            try:
                self.tool.press(action.name)
            finally:
                button.disabled, button.description = False, before

        button.on_click(pressed)
        return self._add(action.name, button)

    # -- results --------------------------------------------------------------------------------------

    def _follow(self) -> None:
        follow: dict[str, Callable] = {
            "drawn": self._draw,
            "report": lambda _=None: self._text("report", self.tool.report),
            "code": lambda _=None: self._text("code", self.tool.code, "background: #f5f5f5; padding: 4px"),
            "problem": lambda _=None: self._text("problem", self.tool.problem, f"color: {_RED}; font-weight: bold"),
            "hidden.items": self._hide,
        }
        for name, update in follow.items():
            self.tool.observe(update, name)
            update()

    def _draw(self, event: Any = None) -> None:
        figure = self.tool.picture()
        image = self.widgets["picture"]
        image.layout.display = None if figure.axes else "none"
        if figure.axes:
            file = io.BytesIO()
            figure.savefig(file, format="png", dpi=_DPI)
            image.value = file.getvalue()

    def _text(self, name: str, text: str, style: str = "") -> None:
        shown = self.widgets[name]
        words = f"white-space: pre-wrap; margin: 4px 0; font-family: monospace; line-height: 1.3; {style}"
        shown.value = f'<div style="{words}">{html.escape(text)}</div>' if text else ""
        shown.layout.display = None if text else "none"

    def _hide(self, event: Any = None) -> None:
        hidden = set(self.tool.hidden)
        for field in self.tool.fields:
            self.widgets[field.name].layout.display = "none" if field.name in hidden else None


def _is_snapped(widget: w.Widget, value: Any) -> bool:
    """Whether a slider merely stands at its step next to the value: browsers round what they are handed."""
    return isinstance(widget, w.FloatSlider) and abs(widget.value - value) < 0.6 * widget.step


def _same(value: Any) -> Any:
    return value


def _options(tool: Tool, field: Field) -> list[tuple[str, Any]]:
    choices = getattr(tool, field.choices) if isinstance(field.choices, str) else field.choices
    return [(choice_text(choice), choice) for choice in choices]


def _text(tool: Tool, field: Field) -> w.Text:
    return w.Text(placeholder=field.placeholder, continuous_update=False)


def _file(tool: Tool, field: Field) -> w.Combobox:
    """A name to type, with the recordings of the folder to choose from."""
    made = w.Combobox(placeholder=field.placeholder or "path of a file", continuous_update=False)

    def to_options(event: Any = None) -> None:
        made.options = tool.recordings()

    to_options()
    tool.observe(to_options, field.name)
    return made


_WIDGETS: dict[str, Callable] = {
    "text": _text,
    "value": _text,
    "file": _file,
    "flag": lambda tool, field: w.Checkbox(indent=True),
    "choice": lambda tool, field: w.Dropdown(options=_options(tool, field)),
    "number": lambda tool, field: w.FloatText(),
    "slider": lambda tool, field: w.FloatSlider(readout_format=".4g", continuous_update=True),
}
