"""``rsciio-tpx3 info``: what is in a file of hits or counts, without decoding it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import rsciio_tpx3
from rsciio_tpx3.cli.options import add_files, add_reader_options, reader_options, recordings
from rsciio_tpx3.utils.text import counted, format_seconds

if TYPE_CHECKING:
    import argparse


__all__ = ["add_info_parser"]


def add_info_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``info`` to the command line; ``args.run(args)`` does it."""
    parser = subparsers.add_parser("info", help="print what is in a file of hits or counts, without decoding it")
    add_files(parser, 1, "several are pieces of one acquisition, unless --each")
    parser.add_argument("--each", action="store_true", help="each FILE is a recording of its own")
    add_reader_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")
    parser.set_defaults(run=_info)
    return parser


def _info(arguments: argparse.Namespace) -> None:
    found = [rsciio_tpx3.file_info(files, **reader_options(arguments)) for files in recordings(arguments)]
    if arguments.json:
        print(json.dumps(found if arguments.each else found[0], indent=2))
    else:
        print("\n".join(line for info in found for line in _info_lines(info)))


def _info_lines(info: dict) -> Iterator[str]:
    yield from info["files"]
    yield from _event_lines(info) if "hits" in info else _counted_lines(info)
    losses = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in info["losses"].items())
    yield f"  losses         {losses or 'none seen'}"


def _counted_lines(info: dict) -> Iterator:
    yield f"  format         {info['format']}, {info['bytes']:,} bytes"
    yield f"  positions      {' x '.join(map(str, info['navigation_shape'])) or 'one'} (x, y)"
    yield f"  detector       {' x '.join(map(str, info['detector_shape']))} pixels (x, y), {info['dtype']}"
    known = [counted(info[name], one, name) for name, one in (("entries", "entry"), ("counts", "count")) if info[name]]
    yield f"  holds          {', '.join(known) or 'counts; how many is not known without reading them'}"


def _event_lines(info: dict) -> Iterator[str]:
    yield f"  size           {info['bytes']:,} bytes, {info['hits']:,} hits"
    yield f"  detector       {info['layout']}, {' x '.join(map(str, info['detector_shape']))} pixels (x, y)"
    for chip in info["chips"] if "hits_by_chip" in info else ():
        hits = info["hits_by_chip"].get(chip, 0)
        chunks = info["chunks_by_chip"].get(chip, 0)
        yield f"    chip {chip}       {hits:,} hits in {chunks:,} chunks"
    yield f"  time           {format_seconds(info['first'])} to {format_seconds(info['last'])}"
    for kind in ("packets", "records"):
        if kind in info:
            yield f"  {kind:14} " + ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in info[kind].items())
    for name, edge in info["edges"].items():
        yield f"  {name:14} {_edge_text(edge)}"
    if not info["edges"]:
        yield "  edges          none"
    for signal in info["signals"]:
        yield f"  as {signal['signal']:11} {_signal_text(signal)}"


def _edge_text(edge: dict) -> str:
    text = f"{edge['number']:,} edges"
    if "period" in edge:
        text += f", every {format_seconds(edge['period'])} (+- {format_seconds(edge['period_error'])})"
        if edge["groups"] > 1:
            text += f", in {edge['groups']} groups"
        if edge["in_bursts"]:
            text += f", {edge['in_bursts']:,} more in bursts"
    return text


def _signal_text(signal: dict) -> str:
    if not signal["ready"]:
        return f"needs more: {signal['needs']}"
    shape = " x ".join(map(str, signal["navigation_shape"]))
    text = f"{shape} positions (x, y), dwell time {format_seconds(signal['dwell_time'])}, "
    text += f"{signal['sync']}" + (f" on {signal['tdc']}" if signal["tdc"] else "")
    return "\n                 ".join([text, *signal["notes"]])
