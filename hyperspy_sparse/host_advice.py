"""Whom to report an error of ours to: not the developers of RosettaSciIO, whom HyperSpy names for all of them.

`hs.load` logs "please report this error to the RosettaSciIO developers" for whatever a reader raises (hyperspy.io,
HyperSpy 2.5.0), and raises it again. What our readers refuse says in its own message what to do, and its
faults are ours.

And a warning for developers that everybody sees in the first cell: HyperSpy 2.5 warns of a private name of its own when
pyXem 0.21 is imported, and shows it to all (`VisibleDeprecationWarning`).
"""

import logging
import sys
import warnings

__all__ = ["install"]

_FOR_DEVELOPERS = "`_get_block_pattern` has moved to `hyperspy.misc.dask_utils`"
_LOGGER, _ADVICE = "hyperspy.io", "report this error"


def install() -> None:
    """Leave the advice out where the error comes from our readers, and the warning for developers; done once."""
    warnings.filterwarnings("ignore", message=_FOR_DEVELOPERS)
    logging.getLogger(_LOGGER).addFilter(_concerns_others)  # adding the same filter again does nothing


def _concerns_others(record: logging.LogRecord) -> bool:
    return _ADVICE not in record.getMessage() or not _raised_by_our_readers()


def _raised_by_our_readers() -> bool:
    """Whether the exception that is being handled went through a module of `rsciio_tpx3`."""
    step = sys.exc_info()[2]
    while step is not None:
        if step.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "rsciio_tpx3":
            return True
        step = step.tb_next
    return False
