"""Test files for readers of Timepix3 event data, and a runner that tests any reader with them.

Needs NumPy and the standard library only; `conformance.make`, which makes the files, needs `rsciio_tpx3` as well.
"""
