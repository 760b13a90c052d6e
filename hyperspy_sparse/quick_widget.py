"""Figures of a notebook that follow the mouse: ``%matplotlib quick_widget``.

A backend of matplotlib, made from ipympl's by two differences. Both were measured in a browser while a ring was dragged
over a pattern, with the image of 256 x 256 positions next to it (see ``docs/guide/jupyter.md``):

- Of the moves of the mouse that arrive while one is worked on, the last one counts. Otherwise they queue up, 30 in a
  second, and the figures follow for seconds after the mouse has stopped.
- Pictures are packed at level 1 of zlib, not 6. A virtual image is mostly noise, which packs no smaller at level 6, and
  took 70 to 100 ms from the move to the picture.

It does not blit. HyperSpy then animates the image and the ticks of the colour bar too, draws them twice where the
contrast changes, and takes longer than matplotlib does for the whole figure.
"""

from __future__ import annotations

import io
import math
import time
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from ipympl import backend_nbagg
from IPython import get_ipython
from IPython.display import display
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FigureCanvas", "FigureManager"]

_COMPRESS_LEVEL = 1
_GATHER_MS = 20
"""So long after a move has been worked on, those that arrived meanwhile are read from the queue, some 1 ms each."""


class FigureCanvas(backend_nbagg.Canvas):
    """A canvas that packs quickly, and follows the newest position of the mouse."""

    _worked = -math.inf
    """When the last move or drawing of any figure was done: all wait for the same kernel."""

    def __init__(self, figure: Figure, *args: Any, **kwargs: Any) -> None:
        super().__init__(figure, *args, **kwargs)
        self._sent: np.ndarray | None = None  # the last picture in the browser, RGBA as one uint32 for each pixel
        self._newest: dict | None = None  # a move of the mouse that nobody has answered
        self._gathering = self.new_timer(_GATHER_MS, [(self._answer, (), {})])
        self._gathering.single_shot = True

    def handle_event(self, event: dict) -> Any:
        kind = event["type"]
        if kind == "motion_notify":
            return self._move(event)
        if kind in ("refresh", "set_device_pixel_ratio", "set_dpi_ratio"):
            self._sent = None  # a browser that has no picture yet
        elif kind.startswith(("button", "dblclick", "scroll", "key", "figure")):
            self._answer()  # a button is released where the mouse is
        return self._work(event)

    def _work(self, event: dict) -> Any:
        try:
            return super().handle_event(event)
        finally:
            if event["type"] in ("draw", "motion_notify"):
                FigureCanvas._worked = time.monotonic()

    def _move(self, event: dict) -> None:
        waits = self._newest is not None
        self._newest = event
        if time.monotonic() - FigureCanvas._worked > _GATHER_MS / 1e3:
            self._answer()
        elif not waits:
            self._gathering.start()

    def _answer(self) -> None:
        event, self._newest = self._newest, None
        if event is not None:
            self._work(event)

    def get_diff_image(self) -> bytes | None:
        """What has changed since the last picture, as a PNG."""
        if self.syncing_data_url:  # no browser yet: ipympl has the picture of a saved notebook from this
            return super().get_diff_image()
        pixels = np.asarray(self.get_renderer().buffer_rgba())
        picture = pixels.view(np.uint32)[..., 0]
        before, self._sent = self._sent, picture.copy()
        # A transparent pixel of a difference means "as before", so a transparent figure is sent whole.
        if before is None or before.shape != picture.shape or (pixels[..., 3] != 255).any():
            self.set_image_mode("full")
            return _png(self._sent)
        self.set_image_mode("diff")
        return _png(np.where(picture != before, picture, np.uint32(0)))


def _png(picture: np.ndarray) -> bytes:
    with io.BytesIO() as file:
        rgba = picture.view(np.uint8).reshape(*picture.shape, 4)
        Image.fromarray(rgba).save(file, format="png", compress_level=_COMPRESS_LEVEL)
        return file.getvalue()


class FigureManager(backend_nbagg.FigureManager):
    """Makes figures for pyplot, and shows them."""

    @classmethod
    def create_with_canvas(cls, canvas_class: type, figure: Figure, num: int | str) -> FigureManager:
        canvas = canvas_class(figure)
        manager = cls(canvas, num)
        canvas.mpl_connect("close_event", lambda event: plt.close(figure))
        if matplotlib.is_interactive():
            _new.append(canvas)
            canvas.draw_idle()
        return manager

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        _show_new()


FigureCanvas.manager_class = FigureManager

_new: list[FigureCanvas] = []
"""Canvases that no cell has shown yet."""


def _show_new() -> None:
    """Show the figures that a cell has made and not closed, under the cell."""
    canvases, _new[:] = list(_new), []
    for canvas in canvases:
        if plt.fignum_exists(canvas.figure.number):
            display(canvas)


if (shell := get_ipython()) is not None:
    # ipympl shows new figures behind each cell only where the backend has one of its own names.
    shell.events.register("post_execute", _show_new)
