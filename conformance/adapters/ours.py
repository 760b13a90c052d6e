"""rsciio_tpx3, by its public functions where there are any."""

from fractions import Fraction

import numpy as np

FORMATS = ("tpx3", "t3pa", "t3p", "raw_csr", "stempy", "nxevent")
_QUIET = {"show_progressbar": False}


def version():
    import rsciio_tpx3

    return f"rsciio_tpx3 {rsciio_tpx3.__version__}"


def _source(case):
    from rsciio_tpx3.recording import open_recording

    about = case.about
    options = {"layout": about["layout"], "on_loss": "warn", **_QUIET}
    if about["format"] == "tpx3":
        options["gap"] = about["gap"]
    return open_recording(case.paths if len(case.paths) > 1 else case.paths[0], options)[0]


def hits(case):
    found = _source(case).hits()
    return {"x": found.x, "y": found.y, "toa": found.toa, "tot": found.tot}


def edges(case):
    found = _source(case).index().edges
    return {"kind": found.code, "counter": found.counter, "ticks": found.ticks}


def losses(case):
    if "hits" not in case.about:
        return {}  # what is lost of counted data is an error of the reader
    return dict(_source(case).index().losses)


def rows(case):
    import importlib

    about = case.about
    if about["format"] == "tpx3":
        from rsciio_tpx3 import file_reader

        options = {"layout": about["layout"], "gap": about["gap"], "on_loss": "warn", **_scan_options(about["scan"])}
    else:
        file_reader = importlib.import_module(f"rsciio_tpx3.{about['format']}").file_reader
        options = {}
        if about["format"] == "nxevent":  # which has neither shape
            options = {"navigation_shape": about["nav_shape"][::-1], "signal_shape": about["sig_shape"][::-1]}
    path = case.paths if len(case.paths) > 1 else case.paths[0]
    [signal] = file_reader(path, lazy=True, **options)
    frames = signal["data"].compute(scheduler="sync")
    return tuple(np.asarray(getattr(frames, name)) for name in ("indptr", "indices", "data"))


def _scan_options(scan):
    ny, nx = scan["nav_shape"]
    shape = (nx, ny) if scan["n_frames"] == 1 else (nx, ny, scan["n_frames"])
    options = {"navigation_shape": shape, "sync": scan["sync"], "pattern": scan["pattern"], **_QUIET}
    if scan["tdc"] is not None:
        options["tdc"] = scan["tdc"]
    if scan["sync"] in ("line-start", "periodic-line", "shared-clock", "frame-trigger"):
        options["dwell_time"] = Fraction(scan["dwell_ticks"])
    if scan["sync"] in ("shared-clock", "frame-trigger"):
        for name in ("line_flyback", "frame_flyback"):
            options[name] = Fraction(scan[f"{name}_ticks"])
    if "positions" in scan:
        options["positions"] = scan["positions"]
    return options


def word(number, kind):
    from rsciio_tpx3.tpx3 import packets

    w = np.uint64(number)
    if kind == "header":
        return {"chip": int(packets.header_chip(w)), "payload_bytes": 8 * int(packets.header_words(w))}
    if kind in ("hit", "count_mode"):
        address = int(packets.pixel_address(w))
        pixel = {"x": address & 255, "y": address >> 8}
        if kind == "count_mode":
            return pixel
        return {**pixel, "tot": int(packets.pixel_tot(w)), "ticks": int(packets.pixel_ticks(w))}
    if kind == "edge":
        ticks = int(packets.tdc_ticks(w))
        return {"counter": int(packets.tdc_counter(w)), "ticks": ticks if ticks >= 0 else None}
    if kind in ("shutter_open", "shutter_close", "heartbeat"):
        return {"ticks": int(packets.control_ticks(w))}
    return {}


def pixel(layout, gap, orientation, chip, x, y):
    from rsciio_tpx3.events.geometry import make_layout

    made = make_layout(layout, gap, orientation)
    flat = int(made.rules[chip] @ (1, x, y))
    return flat % made.sig_shape[1], flat // made.sig_shape[1]


__all__ = ["FORMATS", "edges", "hits", "losses", "pixel", "rows", "version", "word"]
