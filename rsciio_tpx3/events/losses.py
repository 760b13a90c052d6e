"""Damage of files: refused or counted, as the user decides, and said once."""

import logging

from rsciio_tpx3.exceptions import LossError

__all__ = ["Losses"]

_logger = logging.getLogger(__name__)

_ON_LOSS = ("raise", "warn")


class Losses:
    """Damage of the files: an error, or a warning and a number, as the user decides.

    Parameters
    ----------
    on_loss : {"raise", "warn"}
    """

    def __init__(self, on_loss: str) -> None:
        if on_loss not in _ON_LOSS:
            raise ValueError(f"on_loss={on_loss!r} is not valid: must be one of {', '.join(map(repr, _ON_LOSS))}.")
        self.on_loss = on_loss
        self.amounts: dict = {}
        self.found: list = []

    def add(self, what: str, amount: int, text: str) -> None:
        """Count a loss and say it once; raise `LossError` where losses are refused."""
        if self.on_loss == "raise":
            raise LossError(f'{text}\n    on_loss="warn" reads what is left and counts what is lost.')
        _logger.warning(text)
        self.amounts[what] = self.amounts.get(what, 0) + amount
        self.found.append((what, amount, text))
