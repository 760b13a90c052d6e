"""The dialog for virtual detectors: several regions of the detector at once, with the image of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import numpy as np
import traits.api as t

from hyperspy_sparse.gui.registry import add_gui
from hyperspy_sparse.gui.tool import Action, Field, Tool, need_sparse
from hyperspy_sparse.passes import virtual_images

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["VirtualDetectors"]

_COLOURS = ("tab:red", "tab:cyan", "tab:orange", "tab:green", "tab:purple", "tab:pink", "tab:olive", "tab:blue")


@add_gui("VirtualDetectors")
class VirtualDetectors(Tool):
    """Place discs and rings on the detector, and see the image of each.

    All images come from one pass over the events, and the events stay in memory after the first one.

    Parameters
    ----------
    signal : one of the sparse signal classes
        With two scan axes.
    regions : dict of str to hyperspy.roi.CircleROI, optional
        Discs, and rings, over the signal axes; a bright and a dark field around the centre by default.

    Attributes
    ----------
    regions : dict of str to hyperspy.roi.CircleROI
    selected : str
        Name of the region that the numbers are of.
    x, y, radius, inner : float
        Centre, radius, and inner radius (0 for a disc) of the selected region, in units of the signal axes.
    code : str
        The lines that make the same images.

    Raises
    ------
    ValueError
        For a signal that is not sparse, or without two scan axes.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> tool = hyperspy_sparse.gui.VirtualDetectors(hyperspy_sparse.data.disks())
    >>> tool.names
    ['bright field', 'dark field']
    >>> tool.add()
    'region 3'
    >>> tool.radius = 0.1
    >>> tool.images()
    <Signal2D, title: Virtual images, dimensions: (3|8, 6)>
    """

    title = "Virtual detectors"
    figure_size = (9.0, 5.4)
    fields = (
        Field("selected", "Region", "choice", "The region that the numbers below are of.", "names"),
        Field("x", "Centre x", "slider", "In units of the signal axis.", limits="range_x"),
        Field("y", "Centre y", "slider", "In units of the signal axis.", limits="range_y"),
        Field("radius", "Radius", "slider", "Outer radius.", limits="range_radius"),
        Field("inner", "Inner radius", "slider", "0 for a disc, more for a ring.", limits="range_radius"),
    )
    actions = (
        Action("add", "Add", "Another region, to be moved to its place."),
        Action("remove", "Remove", "Take the selected region away."),
        Action("drag", "Drag on a plot", "Plot the signal with the regions on it, to be moved with the mouse."),
    )

    names = t.List(t.Str())
    selected = t.Str()
    x, y, radius, inner = t.Float(), t.Float(), t.Float(), t.Float()
    range_x, range_y = t.Tuple(t.Float(), t.Float()), t.Tuple(t.Float(), t.Float())
    range_radius = t.Tuple(t.Float(), t.Float())

    def __init__(self, signal: BaseSignal, regions: dict[str, Any] | None = None) -> None:
        super().__init__()
        need_sparse(signal)
        if len(signal.axes_manager.navigation_axes) != 2:
            raise ValueError(f"{signal!r}: expected two scan axes. Sum or choose frames first.")
        self._reading = True
        self.signal = signal
        self.regions: dict[str, Any] = {}
        x, y = signal.axes_manager.signal_axes
        self.range_x, self.range_y = (x.low_value, x.high_value), (y.low_value, y.high_value)
        self._reach = max(x.high_value - x.low_value, y.high_value - y.low_value) / 2
        self.range_radius = (0.0, 1.5 * self._reach)
        self._pattern = np.asarray(signal.sum(axis=signal.axes_manager.navigation_axes).data)
        self._images: Any = None
        for name, region in (regions or self._usual()).items():
            self._add(name, region)
        self._reading = False
        self.selected = self.names[0]
        self._renew()

    def _usual(self) -> dict[str, Any]:
        """A disc around the centre of mass that holds half of the counts, and the ring outside of it."""
        x, y = self.signal.axes_manager.signal_axes
        total = max(float(self._pattern.sum()), 1.0)
        cx, cy = self._pattern.sum(0) @ x.axis / total, self._pattern.sum(1) @ y.axis / total
        far = np.hypot(x.axis - cx, (y.axis - cy)[:, None]).ravel()
        order = np.argsort(far)
        reached = np.searchsorted(np.cumsum(self._pattern.ravel()[order]), total / 2)
        # never less than three pixels, for a beam on one of them
        radius = max(float(far[order][min(reached, len(far) - 1)]), 3 * max(abs(x.scale), abs(y.scale)))
        return {
            "bright field": hs.roi.CircleROI(cx, cy, radius),
            "dark field": hs.roi.CircleROI(cx, cy, max(self._reach, 2 * radius), 1.2 * radius),
        }

    # -- regions --------------------------------------------------------------------------------------

    def _add(self, name: str, region: Any) -> None:
        self.regions[name] = region
        self.names = [*self.regions]
        region.events.changed.connect(self._moved, [])

    def add(self) -> str:
        """Add a region in the middle, and select it.

        Returns
        -------
        str
            Its name.
        """
        number = len(self.regions) + 1
        while (name := f"region {number}") in self.regions:
            number += 1
        self._add(name, hs.roi.CircleROI(sum(self.range_x) / 2, sum(self.range_y) / 2, self._reach / 4))
        self.selected = name
        self._renew()
        return name

    def remove(self) -> None:
        """Take the selected region away; one is left always."""
        if len(self.regions) == 1:
            raise ValueError("The last region stays: move it, or add another one first.")
        self.regions.pop(self.selected).events.changed.disconnect(self._moved)
        self.names = [*self.regions]
        self.selected = self.names[0]
        self._renew()

    def drag(self) -> None:
        """Plot the signal with the regions on it: the images follow the mouse."""
        self.signal.plot()
        for region, colour in zip(self.regions.values(), _COLOURS * len(self.regions)):
            region.add_widget(self.signal, axes=self.signal.axes_manager.signal_axes, color=colour)

    @t.observe("selected")
    def _read(self, event: Any = None) -> None:
        """Show the numbers of the selected region."""
        if self._reading or self.selected not in self.regions:
            return
        region = self.regions[self.selected]
        self._reading = True
        try:
            inner = region.r_inner if region.r_inner is not t.Undefined else 0.0
            self.trait_set(x=region.cx, y=region.cy, radius=region.r, inner=inner)
        finally:
            self._reading = False

    @t.observe("x, y, radius, inner")
    def _write(self, event: Any = None) -> None:
        """Move the selected region to the numbers."""
        if self._reading or self.selected not in self.regions:
            return
        if not 0 <= self.inner < self.radius:
            self.problem = f"The inner radius {self.inner:.4g} must be smaller than the radius {self.radius:.4g}."
            return
        self.problem = ""
        region = self.regions[self.selected]
        with region.events.changed.suppress_callback(self._moved):
            # a ring never has its radii the wrong way round, not even for a moment
            region.r_inner = 0
            region.trait_set(cx=self.x, cy=self.y, r=self.radius)
            region.r_inner = self.inner
        self._renew()

    def _moved(self) -> None:
        """A region was moved from outside, such as with the mouse."""
        self._read()
        self._renew()

    # -- images ---------------------------------------------------------------------------------------

    def images(self) -> BaseSignal:
        """The images of all regions, computed.

        Returns
        -------
        hyperspy.signals.Signal2D
            With the regions as its navigation axis.
        """
        if self._images is None:
            self._images = virtual_images(self.signal, self.regions)
            self._images.compute(show_progressbar=False)
        return self._images

    def _renew(self) -> None:
        self._images = None
        lines = [f"    {name!r}: hs.roi.CircleROI({_numbers(region)})," for name, region in self.regions.items()]
        self.code = "\n".join(["hyperspy_sparse.virtual_images(s, {", *lines, "})"])
        sums = self.images().data.sum(axis=(1, 2))
        width = max(map(len, self.names))
        self.report = "\n".join(f"{name:{width}}  {n:,.6g} counts" for name, n in zip(self.names, sums))
        self.drawn = True

    def draw(self, figure: Figure) -> None:
        """Draw the pattern with the regions on it, and the image of each."""
        images = self.images().data
        pattern, grid = figure.subfigures(1, 2, width_ratios=(1, 1.4))
        self._draw_pattern(pattern.subplots())
        columns = int(np.ceil(np.sqrt(len(images))))
        axes = grid.subplots(-(-len(images) // columns), columns, squeeze=False).ravel()
        for ax in axes:
            ax.set_axis_off()
        for ax, name, image, colour in zip(axes, self.names, images, _COLOURS * len(images)):
            ax.imshow(image, cmap="gray")
            ax.set_title(name, color=colour, fontsize=10)

    def _draw_pattern(self, ax: Axes) -> None:
        from matplotlib.patches import Circle

        x, y = self.signal.axes_manager.signal_axes
        half_x, half_y = x.scale / 2, y.scale / 2
        extent = x.axis[0] - half_x, x.axis[-1] + half_x, y.axis[-1] + half_y, y.axis[0] - half_y
        ax.imshow(np.log1p(self._pattern), cmap="gray", extent=extent)
        for (name, region), colour in zip(self.regions.items(), _COLOURS * len(self.regions)):
            width = 2.5 if name == self.selected else 1.2
            for radius in (region.r, region.r_inner):
                if radius is not t.Undefined and radius > 0:
                    ax.add_patch(Circle((region.cx, region.cy), radius, fill=False, color=colour, linewidth=width))
        units = "" if x.units is t.Undefined or not x.units else f" / {x.units}"
        ax.set_title("Sum of all patterns (log)", fontsize=10)
        ax.set(xlabel=f"{x.name}{units}", ylabel=f"{y.name}{units}")
        ax.set(xlim=extent[:2], ylim=extent[2:])


def _numbers(region: Any) -> str:
    inner = region.r_inner
    numbers = [region.cx, region.cy, region.r, *([] if inner is t.Undefined or not inner else [inner])]
    return ", ".join(f"{float(number):.6g}" for number in numbers)
