"""A span of rows of a source, as a task holds it.

Tasks share the source while they stay in one process. A task that is sent to another process takes
along only what its own rows need, so that no large table travels, and none travels twice.
"""

__all__ = ["Rows"]


class Rows:
    """A span of rows of a source.

    Parameters
    ----------
    source : FrameSource
    start, stop : int
        Half-open range of flat positions.
    whole : FrameSource or None
        The source of the array that the rows belong to, which may have its axes in another order;
        None where `source` can be asked for these rows only: after pickling.
    """

    __slots__ = ("source", "start", "stop", "whole")

    def __init__(self, source, start, stop, whole=None):
        self.source, self.start, self.stop, self.whole = source, start, stop, whole

    def __reduce__(self):
        source = self.source
        if self.whole is not None and hasattr(source, "for_rows"):
            source = source.for_rows(self.start, self.stop)
        return Rows, (source, self.start, self.stop)

    def read(self):
        """The rows as `CSRFrames` of shape ``(stop - start, height, width)``."""
        return self.source.frames(self.start, self.stop)
