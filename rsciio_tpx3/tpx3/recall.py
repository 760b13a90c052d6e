"""Index and blocks of a `.tpx3` recording, from the cache or by a pass: what was lost is told either way."""

from rsciio_tpx3.kept_index import recalled_index
from rsciio_tpx3.tpx3.index import build_index, warn_of_losses

__all__ = ["recalled_blocks"]


def recalled_blocks(parts, losses, cache, show_progressbar=None, keep_before_reset=False):
    """Index and blocks as `build_index` makes them.

    Parameters
    ----------
    parts, losses, show_progressbar, keep_before_reset
        As in `build_index`.
    cache : RecordingCache or None
    """

    def make():
        before = len(losses.found)
        index, blocks = build_index(parts, losses, show_progressbar, keep_before_reset)
        return index, {"blocks": blocks}, {"damage": losses.found[before:]}

    def usable(values):
        # where losses are refused, the pass itself says what is wrong and where
        return not (values["damage"] and losses.on_loss == "raise")

    index, arrays, values, recalled = recalled_index(cache, make, usable)
    if recalled:
        for loss in values["damage"]:
            losses.add(*loss)
        warn_of_losses(index, parts, losses)
    return index, arrays["blocks"]
