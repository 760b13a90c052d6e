"""Make RosettaSciIO, and so HyperSpy, know our formats.

RosettaSciIO has no entry point for readers: ``rsciio.IO_PLUGINS`` is a list filled from its own
folder, and whoever brings another format appends to it.
"""

from pathlib import Path

_FORMATS = ("tpx3", "raw_csr", "nxevent", "stempy", "t3pa")


def register():
    """Append our format specifications to ``rsciio.IO_PLUGINS``, once.

    Safe to call any number of times; needs neither HyperSpy nor any of our readers.

    Examples
    --------
    >>> import rsciio, rsciio_tpx3
    >>> rsciio_tpx3.register()
    >>> [plugin["name"] for plugin in rsciio.IO_PLUGINS if "tpx3" in plugin["file_extensions"]]
    ['TPX3']
    """
    import yaml
    from rsciio import IO_PLUGINS

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    known = {plugin["api"] for plugin in IO_PLUGINS}
    for name in _FORMATS:
        api = f"rsciio_tpx3.{name}"
        if api in known:
            continue
        text = (Path(__file__).parent / name / "specifications.yaml").read_text()
        IO_PLUGINS.append({**yaml.load(text, Loader=loader), "api": api})
