"""What HyperSpy's preferences say that readers follow."""

import hyperspy.api as hs

__all__ = ["show_progressbar"]


def show_progressbar() -> bool:
    """Whether the user wants progress bars: ``hs.preferences.General.show_progressbar``."""
    return bool(hs.preferences.General.show_progressbar)
