"""Images that are operands of signals."""

import hyperspy.api as hs


def scan_image(values):
    """An image of the scan: it has navigation axes alone."""
    return hs.signals.BaseSignal(values).T
