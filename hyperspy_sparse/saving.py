"""Which files keep frames sparse, and what the others get instead."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rsciio import IO_PLUGINS

from hyperspy_sparse.twins import choose_class, densified
from rsciio_tpx3.utils.checks import check_flag, check_one_file, check_word

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["check_arguments", "in_stock_class", "keeps_frames"]


def check_arguments(
    filename: str | os.PathLike | None, overwrite: bool | None, extension: str | None, file_format: str | None
) -> None:
    """Refuse what is of another kind than `save` takes, by name."""
    if filename is not None:
        check_one_file("filename", filename)
    check_flag("overwrite", overwrite)
    check_word("extension", extension)
    check_word("file_format", file_format)


def keeps_frames(filename: str | os.PathLike | None, extension: str | None, file_format: str | None) -> bool:
    """Whether the format that this will be saved in is one of ours."""
    ours = [plugin for plugin in IO_PLUGINS if plugin["api"].startswith("rsciio_tpx3.")]
    if file_format is not None:
        wanted = str(file_format).lower()
        return any(wanted in (p["name"].lower(), p["api"].lower()) for p in ours)
    suffix = extension or (Path(filename).suffix if filename is not None else "")
    suffix = suffix.lstrip(".").lower()
    others = [p for p in IO_PLUGINS if p not in ours and suffix in p["file_extensions"]]
    return not others and any(suffix in p["file_extensions"] for p in ours)


def in_stock_class(signal: BaseSignal) -> BaseSignal:
    """A copy in the host's class whose chunks become dense one by one, as they are written."""
    stock = signal._deepcopy_with_new_data(
        densified(signal.data),
        copy_variance=True,
        copy_navigator=True,
        copy_learning_results=True,
    )
    choose_class(stock)
    return stock
