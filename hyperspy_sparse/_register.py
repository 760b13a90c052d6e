"""Registers the readers when HyperSpy looks up this entry point."""

from rsciio_tpx3._register import register

register()
