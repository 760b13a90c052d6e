"""Registers the readers when HyperSpy looks up this entry point, and what we add to their signals."""

from hyperspy_sparse.host_advice import install
from rsciio_tpx3._register import register
from rsciio_tpx3.utils.extensions import extend

register()
install()
extend(
    finish_loading="hyperspy_sparse.signals:finish_loading",
    finish_later="hyperspy_sparse.signals:finish_later",
    remember_recording="hyperspy_sparse.follow:remember",
    plot_scan_delay="hyperspy_sparse.plots:plot_scan_delay",
    demo="hyperspy_sparse.demo:run",
)
