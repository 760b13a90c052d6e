"""Objects of another make that have what a base class requires, taken as instances of it."""

from __future__ import annotations

from typing import Any

from dask.base import normalize_token

__all__ = ["Adopted"]


class Adopted:
    """Mixin before the base class: the required members of an object, its own optional ones, and the base's defaults.

    Attributes
    ----------
    contract, what : str
        Name of the base class in `rsciio_tpx3`, and what an instance is, for the error.
    required, optional : tuple of str
        Members that the object must have, and that it may have.
    together : tuple of str
        Optional members that are taken together, since one has the results of the other as arguments.
    """

    contract: str
    what: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    together: tuple[str, ...] = ()

    def __init__(self, source: Any) -> None:
        try:
            missing = [name for name in self.required if not hasattr(source, name)]
        except Exception:  # an object that raises another error for what it does not have
            missing = list(self.required)
        if missing:
            raise TypeError(
                f"{type(source).__name__} is not {self.what}: it has no {', '.join(missing)}. Derive it from "
                f"rsciio_tpx3.{self.contract}, which lists what is required."
            )
        self.source = source
        # looked up at the class: a wrapper that passes on what it does not know must not be passed by
        own = {name for name in self.optional if hasattr(type(source), name)}
        own |= set(self.together) if own & set(self.together) else set()
        self.__dict__.update({name: getattr(source, name) for name in own})

    def __reduce__(self) -> tuple:
        return type(self), (self.source,)

    def __dask_tokenize__(self) -> Any:
        return f"rsciio_tpx3.{self.contract}", normalize_token(self.source)
