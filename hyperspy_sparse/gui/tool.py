"""What a dialog is made of, whatever draws it: choices, a picture, a report, a line of code, and buttons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import traits.api as t

from hyperspy_sparse.arguments import need_signal
from hyperspy_sparse.twins import has_sparse_chunks
from rsciio_tpx3.cli.options import EXPECTED, one_line, parsed_value

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal
    from matplotlib.figure import Figure

__all__ = ["Action", "Field", "Tool", "as_text", "choice_text", "from_text", "label_of", "load_line", "need_sparse"]

KINDS = ("text", "value", "flag", "choice", "number", "slider", "file")


@dataclass(frozen=True)
class Field:
    """One choice of a dialog.

    Attributes
    ----------
    name : str
        Of the trait.
    label : str
    kind : {"text", "value", "flag", "choice", "number", "slider", "file"}
        "value" is anything that can be written as Python or JSON has it; "slider" has limits.
    help : str
    choices : tuple of str, or str
        For "choice", or the name of a trait that lists them.
    limits : tuple of float, or str
        Lowest and highest value of a slider, or the name of a trait that has them.
    group : str
        Heading under which it stands; the first group of a dialog is always open.
    placeholder : str
        What holds where nothing is entered.
    """

    name: str
    label: str
    kind: str = "text"
    help: str = ""
    choices: tuple | str = ()
    limits: tuple | str = (0.0, 1.0)
    group: str = ""
    placeholder: str = ""


def label_of(name: str) -> str:
    """The name of an option as a label: ``dwell_time`` is "Dwell time"."""
    return name.replace("_", " ").capitalize()


def load_line(filename: str, options: dict) -> str:
    """The line that loads a recording with these options."""
    return f"hs.load({', '.join([repr(filename), *(f'{name}={value!r}' for name, value in options.items())])})"


@dataclass(frozen=True)
class Action:
    """A button: the method it calls, and what it says."""

    name: str
    label: str
    help: str = ""


class Tool(t.HasTraits):
    """Choices with a result; base class of the dialogs.

    Subclasses name their `fields` and `actions`, draw into a figure with `draw`, and set `report` and `code`. A view
    shows what is there, and follows: `drawn` fires when the picture is another one, `hidden` names fields that mean
    nothing at present.

    Attributes
    ----------
    report : str
        The result in words.
    problem : str
        What the last press of a button could not do, and why; empty after one that went well.
    code : str
        The line of Python that does the same.
    hidden : list of str
        Fields that mean nothing for the present choices.
    """

    title: str = ""
    fields: tuple = ()
    actions: tuple = ()
    figure_size: tuple = (6.4, 4.0)
    """Inches; None for a dialog without a picture."""

    report = t.Str()
    problem = t.Str()
    code = t.Str()
    hidden = t.List(t.Str())
    drawn = t.Event()

    def shown(self) -> None:
        """What to do when widgets show the dialog; nothing by default."""

    def draw(self, figure: Figure) -> None:
        """Draw the result into an empty figure."""

    def picture(self) -> Figure:
        """The result as a figure of matplotlib, of its own.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=self.figure_size, layout="constrained")
        self.draw(figure)
        return figure

    def press(self, name: str) -> Any:
        """Do what a button does: errors that bad choices raise are shown as `problem`.

        Parameters
        ----------
        name : str
            Of a method.

        Returns
        -------
        object
            What the method gave; None where it could not be done.
        """
        try:
            made = getattr(self, name)()
        except EXPECTED as error:
            self.problem = one_line(error)
            return None
        self.problem = ""
        return made

    def groups(self) -> dict[str, list[Field]]:
        """Fields by their headings, in order."""
        found: dict[str, list[Field]] = {}
        for field in self.fields:
            found.setdefault(field.group, []).append(field)
        return found


def need_sparse(signal: BaseSignal) -> None:
    """Refuse what is not a signal with sparse frames."""
    need_signal(signal)
    if not has_sparse_chunks(signal):
        raise ValueError(f"{signal!r} has no sparse frames: load a recording, or convert it with to_sparse.")


def as_text(value: Any) -> str:
    """A value as a person writes it: text without quotes, nothing for None.

    Examples
    --------
    >>> from hyperspy_sparse.gui.tool import as_text
    >>> as_text((256, 128)), as_text("5 us"), as_text(None)
    ('256, 128', '5 us', '')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        # text that would be read as something else keeps its quotes
        return value if parsed_value(value) == value else repr(value)
    if isinstance(value, tuple) and len(value) > 1:
        return ", ".join(map(repr, value))
    return repr(value)


def choice_text(choice: Any) -> str:
    """A choice as a list shows it: an empty line would look as if something were missing.

    Examples
    --------
    >>> from hyperspy_sparse.gui.tool import choice_text
    >>> choice_text("serpentine"), choice_text(None), choice_text("")
    ('serpentine', 'as found', 'not set')
    """
    if choice is None:
        return "as found"
    return str(choice) or "not set"


def from_text(text: str) -> Any:
    """The value that a text means; None for an empty one.

    Examples
    --------
    >>> from hyperspy_sparse.gui.tool import from_text
    >>> from_text("256, 128"), from_text(" 5 us "), from_text("")
    ((256, 128), '5 us', None)
    """
    text = text.strip()
    return parsed_value(text) if text else None
