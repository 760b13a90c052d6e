"""What one source tells: values in the table's units, and everything else verbatim."""

import logging
from dataclasses import dataclass, field

from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.metadata.validation import check

__all__ = ["SourceValues"]

_logger = logging.getLogger(__name__)


@dataclass
class SourceValues:
    """Quantities from one source.

    Attributes
    ----------
    kind : str
        One of `rsciio_tpx3.metadata.mapping.SOURCES`.
    label : str
        For people, such as "scan.json (Serval)".
    strict : bool
        True raises for what cannot be right: the user named this source. False leaves it out with a
        warning: a file found next to the recording must not keep anybody from their data.
    values : dict
        Name of a quantity to plain value, as `rsciio_tpx3.metadata.validation.check` makes it.
    errors : dict
        Name to one standard deviation.
    original : dict
        The source as it is.
    load : dict
        Options of the reader, where the source is a file that a person wrote and has a table of them; not checked.
    folder : str
        Of the file, from which the paths in `load` begin.
    """

    kind: str
    label: str
    strict: bool = True
    values: dict = field(default_factory=dict)
    errors: dict = field(default_factory=dict)
    original: dict = field(default_factory=dict)
    load: dict = field(default_factory=dict)
    folder: str = ""

    def add(self, name: str, value: object | None, bare: str | None = None, key: str | None = None) -> None:
        """Check a value and keep it; None is passed over.

        Parameters
        ----------
        name : str
            Row of the table.
        value : object
        bare : str, optional
            Unit that the source format defines for bare numbers.
        key : str, optional
            What the source calls it.
        """
        if value is None or (isinstance(value, (str, list)) and not len(value)):
            return
        try:
            self._refuse_counted(name)
            plain, error = check(name, value, bare, f"{self.label}: {key or name}")
        except ValueError as problem:
            if self.strict:
                raise
            _logger.warning(f"{problem} This value is excluded; the rest of the file is used.")
            return
        self.values[name] = plain
        if error is not None:
            self.errors[name] = error

    def _refuse_counted(self, name: str) -> None:
        if self.kind not in LEAVES[name].sources and self.kind != "recording":
            raise ValueError(
                f"{self.label}: {name} is found by the reader, and cannot be given. Leave it out; General.notes has "
                "room for remarks."
            )
