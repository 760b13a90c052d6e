"""What the calls of methods take: signals, masks, shifts and regions, functions to map, and what is seen of a plot."""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np

AXES = {
    "none": None,
    "nav": ("x", "y"),
    "sig": ("kx", "ky"),
    "all": ("x", "y", "kx", "ky"),
    "y": "y",
    "kx": "kx",
    "mixed": ("y", "kx"),
}

ROIS = {
    "circle": lambda: hs.roi.CircleROI(0.0, 0.0, 0.4),
    "annulus": lambda: hs.roi.CircleROI(0.0, 0.0, 0.5, 0.2),
    "rectangle": lambda: hs.roi.RectangularROI(-0.3, -0.4, 0.3, 0.5),
    "polygon": lambda: hs.roi.PolygonROI([(-0.4, -0.4), (0.4, -0.2), (0.1, 0.5)]),
    "point": lambda: hs.roi.Point2DROI(0.1, 0.1),
}


def nav_signal(values=None):
    """A signal with one number per position."""
    values = np.linspace(-1.5, 1.5, 15).reshape(3, 5) if values is None else values
    return hs.signals.BaseSignal(values).T


def shifts():
    values = np.stack(np.meshgrid(np.linspace(-2, 2, 5), np.linspace(-1, 1, 3)), axis=-1)
    return hs.signals.Signal1D(values)


def template():
    y, x = np.mgrid[-3:4, -3:4]
    return ((y**2 + x**2) < 9).astype(float)


def affine():
    return np.array([[0.98, 0.03, 0.2], [-0.02, 1.01, -0.1], [0, 0, 1.0]])


def mask():
    return np.arange(192).reshape(16, 12) % 7 == 0


def peaks(s):
    return s.find_peaks(interactive=False, method="local_max", min_distance=2, lazy_output=False)


def shown(s, **kwargs):
    """What a plot shows at two positions."""
    s.plot(**kwargs)
    images = [np.asarray(s._plot.signal_plot.ax.images[0].get_array())]
    s.axes_manager.indices = (3, 2)
    images.append(np.asarray(s._plot.signal_plot.ax.images[0].get_array()))
    if s._plot.navigator_plot is not None and s._plot.navigator_plot.ax.images:
        images.append(np.asarray(s._plot.navigator_plot.ax.images[0].get_array()))
    s._plot.close()
    plt.close("all")
    return images


def center_like(frame):
    return np.array(np.unravel_index(np.argmax(frame), frame.shape))


def scaled(frame, factor):
    return frame * factor


def total(frame):
    return frame.sum()


def bright_pixels(frame):
    return np.argwhere(frame > 1)


def wider(frame):
    return np.pad(frame, 1)


def round_trip(s, tmp_path, suffix, **kwargs):
    path = tmp_path / f"saved{suffix}"
    s.save(path, overwrite=True, **kwargs)
    return hs.load(path)


def inplace(s, name, other):
    getattr(s, name)(other)
    return s


def plus_one(s):
    """Counts without zeros, in place: HyperSpy has no += for lazy signals."""
    s.data = s.data + 1
    return s


def inplace_zero(s):
    s.data = s.data * 0
    s.add_poissonian_noise()
    return s


def set_data(s):
    s.data = s.data * 2
    return s


def unfold_and(s, how):
    getattr(s, how)()
    s.fold()
    return s


def in_unfolded(s):
    with s.unfolded():
        shape = s.data.shape
    return list(shape)


def fitted(s):
    """A Gaussian fitted to the frame that is current."""
    s.axes_manager.indices = (2, 1)
    model = s.create_model()
    model.append(hs.model.components2D.Gaussian2D(A=1.0, centre_x=0.1, centre_y=0.1, sigma_x=0.2, sigma_y=0.2))
    model.fit()
    return [float(parameter.value) for parameter in model[0].parameters]
