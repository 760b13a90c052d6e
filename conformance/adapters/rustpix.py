"""rustpix: hits, with the places of the chips that the case has."""

from importlib import metadata

from conformance.cases import NotOffered

__all__ = ["FORMATS", "hits", "version"]

FORMATS = ("tpx3",)
_TDC1_RISE = 0xF


def version():
    return f"rustpix {metadata.version('rustpix')}"


def _chips(layout, gap):
    """(a, b, c, d, x, y) of each chip: column = a x + b y + x0, row = c x + d y + y0."""
    if layout == "single":
        return [(1, 0, 0, 1, 0, 0)]
    far, low = 511 + gap, 256 + gap
    return [(1, 0, 0, 1, low, 0), (-1, 0, 0, -1, far, far), (-1, 0, 0, -1, 255, far), (1, 0, 0, 1, 0, 0)]


def hits(case):
    import rustpix

    if len(case.paths) > 1:
        raise NotOffered("one file at a time")
    if "edges" not in case.about or not (case.edges()["kind"] == _TDC1_RISE).any():
        raise NotOffered("times of flight need rising edges of TDC1")
    config = rustpix.DetectorConfig(chip_transforms=_chips(case.about["layout"], case.about["gap"]))
    table = rustpix.read_tpx3_hits(str(case.paths[0]), detector_config=config).to_numpy()
    return {"x": table["x"], "y": table["y"], "toa": table["timestamp"], "tot": table["tot"], "unit": "25ns"}
