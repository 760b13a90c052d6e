"""Modules of 0.1 that are documented and have moved: their old names still work, with a warning, until 0.3."""

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MOVED", "find_moved"]

MOVED = {
    "rsciio_tpx3.events.bad_pixels": "rsciio_tpx3.corrections.bad_pixels",
    "rsciio_tpx3.events.clock": "rsciio_tpx3.utils.clock",
    "rsciio_tpx3.events.cluster_pairs": "rsciio_tpx3.corrections.cluster_pairs",
    "rsciio_tpx3.events.clusters": "rsciio_tpx3.electrons.clusters",
    "rsciio_tpx3.events.column_fit": "rsciio_tpx3.corrections.column_fit",
    "rsciio_tpx3.events.corrections": "rsciio_tpx3.corrections.steps",
    "rsciio_tpx3.events.energy": "rsciio_tpx3.corrections.energy",
    "rsciio_tpx3.events.event_options": "rsciio_tpx3.reader.event_options",
    "rsciio_tpx3.events.packets": "rsciio_tpx3.tpx3.packets",
    "rsciio_tpx3.events.scan": "rsciio_tpx3.scan.scan",
    "rsciio_tpx3.events.sync": "rsciio_tpx3.scan.sync",
    "rsciio_tpx3.events.time_walk": "rsciio_tpx3.corrections.time_walk",
    "rsciio_tpx3.frames.csr_frames": "rsciio_tpx3.csr.csr_frames",
    "rsciio_tpx3.frames.memory_limit": "rsciio_tpx3.csr.memory_limit",
    "rsciio_tpx3.metadata.units": "rsciio_tpx3.utils.units",
}
"""Old name to new."""


class _Finder:
    """Finds the new module under the old name; consulted last, and only for names that no file has."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = MOVED[spec.name]
        # three frames of the import system stand between this and the line that imports
        warnings.warn(f"{spec.name} is {new} since 0.2; the old name goes with 0.3.", DeprecationWarning, stacklevel=3)
        module = importlib.import_module(new)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has written the old name over it


def find_moved() -> None:
    """Let the old names be found, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
