"""Names of a package whose modules are loaded when a name is used first: what `__getattr__` of a package calls."""

import importlib
from collections.abc import Mapping
from typing import Any

__all__ = ["loaded"]


def loaded(package: str, table: Mapping[str, str], name: str) -> Any:
    """The object of a name, from the module that a table tells for it.

    Parameters
    ----------
    package : str
        Whose name it is, for the message.
    table : mapping of str to str
        Name to module.
    name : str

    Raises
    ------
    AttributeError
        If the table does not have it, as for any other module.

    Examples
    --------
    >>> from rsciio_tpx3.utils.lazy import loaded
    >>> loaded("mine", {"sqrt": "math"}, "sqrt")(9)
    3.0
    """
    if name not in table:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(importlib.import_module(table[name]), name)
