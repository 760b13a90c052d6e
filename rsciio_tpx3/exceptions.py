"""What can go wrong with a recording, by the kind of help the user needs."""

__all__ = ["MetadataConflictError", "ScanSyncError", "Tpx3FormatError", "UnitError"]


class Tpx3FormatError(ValueError):
    """The bytes are not what the format promises: wrong file, truncation, damage."""


class ScanSyncError(ValueError):
    """The trigger edges do not give the scan that was asked for."""


class UnitError(ValueError):
    """A quantity without a unit, with a wrong one, or with a value outside physical sense."""


class MetadataConflictError(ValueError):
    """Two sources disagree on something that decides where hits go, and nobody has chosen."""
