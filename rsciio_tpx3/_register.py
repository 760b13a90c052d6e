"""Make RosettaSciIO, and so HyperSpy, know our formats.

RosettaSciIO has no entry point for readers: ``rsciio.IO_PLUGINS`` is a list filled from its own
folder, and whoever brings another format appends to it.
"""

from pathlib import Path

import yaml
from rsciio import IO_PLUGINS

# for files of other programs in endings that belong to nobody: where two readers or more have one already, HyperSpy
# asks which to take and lists them, and ours has to be in that list. Saving stays with the format that has the ending.
_SHARED = {"nxevent": ("NXevent_h5", "Counted events as NeXus NXevent_data"), "stempy": ("stempy_h5", "stempy")}
_SHARED_ENDINGS = ("h5", "hdf5")


def register() -> None:
    """Append our format specifications to ``rsciio.IO_PLUGINS``, once.

    Safe to call any number of times; needs neither HyperSpy nor any of our readers.

    Examples
    --------
    >>> import rsciio, rsciio_tpx3
    >>> rsciio_tpx3.register()
    >>> [plugin["name"] for plugin in rsciio.IO_PLUGINS if "tpx3" in plugin["file_extensions"]]
    ['TPX3']
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    known = {plugin["api"] for plugin in IO_PLUGINS}
    # found as RosettaSciIO finds its own: rsciio_tpx3.formats has a table of them, but importing it takes time
    for specification in sorted(Path(__file__).parent.glob("*/specifications.yaml")):
        name = specification.parent.name
        api = f"rsciio_tpx3.{name}"
        if api in known:
            continue
        IO_PLUGINS.append({**yaml.load(specification.read_text(), Loader=loader), "api": api})
        if name in _SHARED:
            _share(IO_PLUGINS, name, api)


def _share(plugins: list, name: str, api: str) -> None:
    """Add a reader for endings that two other readers have already."""
    others = [plugin for plugin in plugins if not plugin["api"].startswith("rsciio_tpx3.")]
    endings = [end for end in _SHARED_ENDINGS if sum(end in plugin["file_extensions"] for plugin in others) > 1]
    if endings:
        label, content = _SHARED[name]
        plugins.append(
            {
                "name": label,
                "name_aliases": [],
                "description": f"{content} in an .h5 file; the same reader as {name}.",
                "full_support": False,
                "file_extensions": endings,
                "default_extension": 0,
                "writes": False,
                "non_uniform_axis": False,
                "api": api,
            }
        )
