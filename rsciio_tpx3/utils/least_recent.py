"""What was made last, kept up to a number: the one cache of its kind."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

__all__ = ["LeastRecent"]


class LeastRecent:
    """Values by their keys; above a number of them the least recently used one is forgotten.

    Parameters
    ----------
    most : int
        Values that are kept.

    Examples
    --------
    >>> from rsciio_tpx3.utils.least_recent import LeastRecent
    >>> kept = LeastRecent(2)
    >>> kept.get("a", lambda: 1), kept.get("a", lambda: 2)
    (1, 1)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator:
        return iter(self._values)

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of a key, made where it is not there."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make()
        self.put(key, value)
        return value

    def look(self, key: Hashable, default: Any = None) -> Any:
        """The value of a key, or the default."""
        return self._values.get(key, default)

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a value, in the place of an older one of that key."""
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._most:
            self._values.popitem(last=False)
