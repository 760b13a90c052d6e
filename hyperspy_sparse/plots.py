"""Pictures of what the reader found, for those who have matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rsciio_tpx3.scan.delay import ScanDelay


__all__ = ["new_axes", "plot_scan_delay"]


def new_axes() -> Axes:
    """Axes of a figure of their own."""
    return plt.subplots(layout="constrained")[1]


def plot_scan_delay(found: ScanDelay, ax: Axes | None = None) -> Axes:
    """Draw the curve by which a scan delay was found.

    Parameters
    ----------
    found : rsciio_tpx3.scan.delay.ScanDelay
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes() if ax is None else ax
    ax.plot(found.delays * 1e6, found.agreement, ".-", markersize=3, linewidth=0.8)
    ax.axvline(found.delay * 1e6, color="tab:red", linewidth=1)
    spread = (found.delay - found.error) * 1e6, (found.delay + found.error) * 1e6
    ax.axvspan(*spread, color="tab:red", alpha=0.25, linewidth=0)
    ax.set(xlabel="delay / us", ylabel="agreement")
    # two lines: next to a picture there is no room for one
    ax.set_title(f"{found.method}\n{found.delay * 1e6:.4g} ± {found.error * 1e6:.2g} us", fontsize=10)
    return ax
