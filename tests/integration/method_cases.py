"""Calls of the public methods, each a function of a signal that is sparse or dense.

`CASES` maps the name of a method to its calls; `NOT_COMPARED` names what no comparison of results
can judge, with the reason. A method in neither turns up as untested. The signal has scan
(y, x) = (3, 5) and detector (ky, kx) = (16, 12); a call whose name starts with ``f_`` gets floats.
"""

import hyperspy.api as hs
import numpy as np
import scipy.ndimage
from hyperspy.axes import UniformDataAxis

AXES = {
    "none": None,
    "nav": ("x", "y"),
    "sig": ("kx", "ky"),
    "all": ("x", "y", "kx", "ky"),
    "y": "y",
    "kx": "kx",
    "mixed": ("y", "kx"),
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


def calibrated(s, center=(7, 5)):
    s.calibration.center = center
    s.calibration.scale = 0.1
    s.calibration.units = "k_A^-1"
    return s


def detector_geometry(s):
    s.unit = "k_nm^-1"
    s.calibration(physical_pixel_size=15e-6, detector_distance=0.3, beam_energy=200, center=(7, 5))
    return s


def decomposed(s, **kwargs):
    s.decomposition(output_dimension=3, print_info=False, **kwargs)
    return s


def clustered(s):
    decomposed(s)
    s.cluster_analysis("decomposition", n_clusters=2, random_state=0, n_init=3)
    return s


def number_of_clusters(s):
    return decomposed(s).estimate_number_of_clusters(
        "decomposition", max_clusters=4, metric="elbow", random_state=0, n_init=3
    )


def model_up_to_sign(s):
    """Components are unique up to their sign, so the model made of them is compared."""
    return s.get_decomposition_model(3)


def peaks(s):
    return s.find_peaks(interactive=False, method="local_max", min_distance=2, lazy_output=False)


def peak_array(s):
    """Peaks as the array of arrays that some methods ask for, in pixels."""
    found = peaks(s).data
    out = np.empty(found.shape, dtype=object)
    for place in np.ndindex(found.shape):
        out[place] = np.asarray(found[place], dtype=float)
    return out


def shown(s, **kwargs):
    """What a plot shows at two positions."""
    import matplotlib.pyplot as plt

    s.plot(**kwargs)
    images = [np.asarray(s._plot.signal_plot.ax.images[0].get_array())]
    s.axes_manager.indices = (3, 2)
    images.append(np.asarray(s._plot.signal_plot.ax.images[0].get_array()))
    if s._plot.navigator_plot is not None and s._plot.navigator_plot.ax.images:
        images.append(np.asarray(s._plot.navigator_plot.ax.images[0].get_array()))
    s._plot.close()
    plt.close("all")
    return images


def drawn(s, name, **kwargs):
    """Lines and images of the figures that a method draws; components are unique up to their sign."""
    import matplotlib.pyplot as plt

    plt.close("all")
    getattr(s, name)(**kwargs)
    axes = [ax for number in plt.get_fignums() for ax in plt.figure(number).axes]
    lines = [np.abs(np.asarray(line.get_ydata(), dtype=float)) for ax in axes for line in ax.lines]
    images = [np.abs(np.asarray(image.get_array(), dtype=float)) for ax in axes for image in ax.images]
    plt.close("all")
    return lines + images


def exported(s, name, tmp_path):
    """Names of the files that a method writes."""
    import os

    folder = tmp_path / f"{type(s).__name__}"
    folder.mkdir(exist_ok=True)
    before = os.getcwd()
    os.chdir(folder)
    try:
        getattr(s, name)()
    finally:
        os.chdir(before)
    return sorted(path.name for path in folder.iterdir())


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


ROIS = {
    "circle": lambda: hs.roi.CircleROI(0.0, 0.0, 0.4),
    "annulus": lambda: hs.roi.CircleROI(0.0, 0.0, 0.5, 0.2),
    "rectangle": lambda: hs.roi.RectangularROI(-0.3, -0.4, 0.3, 0.5),
    "polygon": lambda: hs.roi.PolygonROI([(-0.4, -0.4), (0.4, -0.2), (0.1, 0.5)]),
    "point": lambda: hs.roi.Point2DROI(0.1, 0.1),
}


def reductions():
    names = "sum mean max min std var nansum nanmean nanmax nanmin nanstd nanvar"
    cases = {}
    for name in names.split():
        calls = {key: lambda s, name=name, axis=axis: getattr(s, name)(axis=axis) for key, axis in AXES.items()}
        calls["f_sig"] = lambda s, name=name: getattr(s, name)(axis=AXES["sig"])
        calls["rechunk"] = lambda s, name=name: getattr(s, name)(axis="y", rechunk=True)
        calls["out"] = lambda s, name=name: with_out(s, name)
        cases[name] = calls
    for name in "indexmax indexmin valuemax valuemin".split():
        cases[name] = {
            key: lambda s, name=name, axis=axis: getattr(s, name)(axis)
            for key, axis in (("y", "y"), ("kx", "kx"), ("ky", "ky"))
        }
    return cases


def with_out(s, name):
    out = getattr(s, name)(axis="y")
    out.data = out.data * 0
    getattr(s, name)(axis="y", out=out)
    return out


def operators():
    small = lambda s: s.inav[1, 1]  # noqa: E731
    cases = {
        "add": lambda s: s + 1,
        "radd": lambda s: 1 + s,
        "sub": lambda s: s - 1,
        "mul": lambda s: s * 3,
        "rmul": lambda s: 3 * s,
        "div": lambda s: s / 2,
        "div_int": lambda s: s // 2,
        "mod": lambda s: s % 2,
        "pow": lambda s: s**2,
        "neg": lambda s: -s,
        "abs": lambda s: abs(s),
        "eq": lambda s: s == 1,
        "eq_zero": lambda s: s == 0,
        "ne": lambda s: s != 0,
        "lt": lambda s: s < 1,
        "gt": lambda s: s > 0,
        "ge": lambda s: s >= 1,
        "float": lambda s: s * 0.5,
        "f_nan": lambda s: s * np.nan,
        "f_div_zero": lambda s: s / 0.0,
        "array_mask": lambda s: s * (~mask()),
        "itself": lambda s: s + s,
        "times_itself": lambda s: s * s,
        "minus_float": lambda s: s - s * 0.5,
        "greater_self": lambda s: s > s * 0.5,
        "one_frame": lambda s: s - small(s),
        "mean_pattern": lambda s: s / (s.mean() + 1),
        "normalised": lambda s: s / (s.sum(axis=("kx", "ky")) + 1),
        "nav_signal": lambda s: s * nav_signal(),
        "weighted_sum": lambda s: (s * nav_signal()).sum(axis=AXES["nav"]),
        "weighted_mean": lambda s: (s * nav_signal()).mean(axis=AXES["nav"]),
        "weighted_var": lambda s: (s * nav_signal()).var(axis=AXES["nav"]),
        "weighted_max": lambda s: (s * nav_signal()).max(axis=AXES["nav"]),
        "weighted_image": lambda s: (s * nav_signal()).get_integrated_intensity(ROIS["circle"]()),
        "masked_positions": lambda s: (s * (nav_signal() > 0)).sum(axis=AXES["nav"]),
        "masked_array": lambda s: (s * (nav_signal().data > 0)[..., None, None]).sum(axis=AXES["nav"]),
        "minus_mean_sum": lambda s: (s - s.mean(axis=AXES["nav"])).sum(axis=AXES["sig"]),
        "minus_mean_max": lambda s: (s - s.mean(axis=AXES["nav"])).max(axis=AXES["nav"]),
        "minus_mean_var": lambda s: (s - s.mean(axis=AXES["nav"])).var(axis=AXES["nav"]),
        "minus_mean_image": lambda s: (s - s.mean(axis=AXES["nav"])).get_integrated_intensity(ROIS["circle"]()),
        "minus_mean_part": lambda s: (s - s.mean(axis=AXES["nav"])).inav[1:4].isig[2:7, 3:],
        "weighted_frame": lambda s: (s * nav_signal()).inav[3, 1],
        "weighted_part": lambda s: (s * nav_signal()).inav[1:4].isig[2:7, 3:],
        "line": lambda s: np.asarray(hs.roi.Line2DROI(2.2, 1.1, 3.9, 1.8, linewidth=0.7)(s).data),
        "line_order": lambda s: np.asarray(hs.roi.Line2DROI(2.2, 1.1, 3.9, 1.8, linewidth=0.7)(s, order=1).data),
        "line_detector": lambda s: np.asarray(
            hs.roi.Line2DROI(-0.4, -0.3, 0.3, 0.5, linewidth=0.2)(s, axes=AXES["sig"], order=1).data
        ),
        "dense_signal": lambda s: s + hs.signals.Signal2D(np.ones((3, 5, 16, 12))),
        "from_dense": lambda s: hs.signals.Signal2D(np.ones((3, 5, 16, 12))).as_lazy() + s,
        "iadd": lambda s: inplace(s, "__iadd__", 2),
        "imul": lambda s: inplace(s, "__imul__", 2),
        "isub": lambda s: inplace(s, "__isub__", s.deepcopy()),
        "and": lambda s: (s > 0) & (s < 2),
        "or": lambda s: (s > 2) | (s < 1),
        "invert": lambda s: ~(s > 0),
        "numpy_sqrt": lambda s: np.sqrt(s),
        "numpy_log": lambda s: np.log(s + 1),
        "numpy_maximum": lambda s: np.maximum(s, 1),
        "numpy_log1p": lambda s: np.log1p(s),
        "numpy_add": lambda s: np.add(s, 1),
        "numpy_add_turned": lambda s: np.add(1, s),
        "numpy_multiply_mask": lambda s: np.multiply(s, mask()),
        "numpy_where": lambda s: np.multiply(s, 2, where=np.ones((16, 12), bool)),
        "numpy_two_answers": lambda s: np.divmod(s, 2),
        "numpy_not": lambda s: np.logical_not(s),
        "numpy_sum": lambda s: np.sum(s.data, axis=(0, 1)),
        "asarray": lambda s: np.asarray(s),
        "asarray_float": lambda s: np.asarray(s, dtype=float),
        "len": lambda s: len(s),
        "contains_bool": lambda s: bool((s.data >= 0).all()),
    }
    return cases


def inplace(s, name, other):
    getattr(s, name)(other)
    return s


def plus_one(s):
    """Counts without zeros, in place: HyperSpy has no += for lazy signals."""
    s.data = s.data + 1
    return s


CASES = {
    **reductions(),
    "__operators__": operators(),
    "T": {"": lambda s: s.T},
    "add_gaussian_noise": {"f_": lambda s: s.add_gaussian_noise(0.0)},
    "add_poissonian_noise": {"zero": lambda s: inplace_zero(s)},
    "apply_apodization": {
        "hann": lambda s: s.apply_apodization(),
        "hamming": lambda s: s.apply_apodization("hamming"),
        "tukey": lambda s: s.apply_apodization("tukey", tukey_alpha=0.3),
        "f_inplace": lambda s: s.apply_apodization(inplace=True),
    },
    "as_lazy": {"": lambda s: s.as_lazy()},
    "as_signal1D": {"y": lambda s: s.as_signal1D("y"), "kx": lambda s: s.as_signal1D("kx")},
    "as_signal2D": {
        "nav": lambda s: s.as_signal2D(("x", "y")),
        "sig": lambda s: s.as_signal2D(("kx", "ky")),
        "mixed": lambda s: s.as_signal2D(("x", "kx")),
    },
    "change_dtype": {
        t: lambda s, t=t: s.change_dtype(t)
        for t in "uint8 uint16 int8 int32 int64 float32 float64 bool complex64".split()
    },
    "copy": {"": lambda s: s.copy()},
    "crop": {
        "y": lambda s: s.crop("y", 1, 3),
        "kx": lambda s: s.crop("kx", 2, 7),
        "units": lambda s: s.crop("ky", -0.4, 0.3),
    },
    "crop_signal": {"": lambda s: s.crop_signal(2, 9, 1, 7)},
    "data": {"": lambda s: s.data, "set": lambda s: set_data(s)},
    "deepcopy": {"": lambda s: s.deepcopy()},
    "derivative": {"kx": lambda s: s.derivative("kx"), "y": lambda s: s.derivative("x")},
    "diff": {
        "kx": lambda s: s.diff("kx"),
        "y": lambda s: s.diff("y"),
        "order": lambda s: s.diff("ky", order=2),
    },
    "estimate_poissonian_noise_variance": {
        "": lambda s: s.estimate_poissonian_noise_variance(gain_factor=1.0, gain_offset=0.1),
    },
    "fft": {
        "": lambda s: s.fft(),
        "shift": lambda s: s.fft(shift=True),
        "real": lambda s: s.fft(real_fft_only=True),
        "apodized": lambda s: s.fft(apodization=True),
    },
    "ifft": {"": lambda s: s.fft().ifft(), "shifted": lambda s: s.fft(shift=True).ifft()},
    "fold": {"": lambda s: unfold_and(s, "unfold_navigation_space")},
    "unfold": {"": lambda s: s.unfold()},
    "unfold_navigation_space": {"": lambda s: s.unfold_navigation_space()},
    "unfold_signal_space": {"": lambda s: s.unfold_signal_space()},
    "unfolded": {"": lambda s: in_unfolded(s)},
    "get_current_signal": {
        "": lambda s: s.get_current_signal(),
        "lazy": lambda s: s.get_current_signal(auto_title=False, auto_filename=False),
    },
    "get_dimensions_from_data": {"": lambda s: s.get_dimensions_from_data()},
    "get_noise_variance": {"": lambda s: (s.set_noise_variance(2.0), s.get_noise_variance())[1]},
    "set_noise_variance": {"": lambda s: s.set_noise_variance(3.0)},
    "integrate1D": {k: lambda s, k=k: s.integrate1D(k) for k in ("kx", "y")},
    "integrate_simpson": {k: lambda s, k=k: s.integrate_simpson(k) for k in ("kx", "ky")},
    "interpolate_on_axis": {
        "kx": lambda s: s.interpolate_on_axis(UniformDataAxis(size=6, scale=0.15, offset=-0.5), "kx"),
        "y": lambda s: s.interpolate_on_axis(UniformDataAxis(size=4, scale=0.2, offset=1.1, navigate=True), "y"),
        "cubic": lambda s: s.interpolate_on_axis(UniformDataAxis(size=9, scale=0.15, offset=-0.7), "ky", degree=3),
        "inplace": lambda s: s.interpolate_on_axis(
            UniformDataAxis(size=6, scale=0.15, offset=-0.5), "kx", inplace=True
        ),
    },
    "is_rgb": {"": lambda s: s.is_rgb},
    "is_rgba": {"": lambda s: s.is_rgba},
    "is_rgbx": {"": lambda s: s.is_rgbx},
    "map": {
        "image": lambda s: s.map(scaled, factor=2, inplace=False),
        "inplace": lambda s: s.map(scaled, factor=3),
        "scalar": lambda s: s.map(total, inplace=False),
        "other_size": lambda s: s.map(center_like, inplace=False),
        "bigger": lambda s: s.map(wider, inplace=False),
        "not_lazy": lambda s: s.map(center_like, inplace=False, lazy_output=False),
        "inplace_not_lazy": lambda s: s.map(scaled, factor=2, lazy_output=False),
        "ragged": lambda s: s.map(bright_pixels, inplace=False, ragged=True),
        "ragged_not_lazy": lambda s: s.map(bright_pixels, inplace=False, ragged=True, lazy_output=False),
        "iterating": lambda s: s.map(scaled, factor=nav_signal(), inplace=False),
        "iterating_lazy": lambda s: s.map(scaled, factor=nav_signal().as_lazy(), inplace=False),
        "given_output": lambda s: s.map(total, inplace=False, output_dtype=float, output_signal_size=()),
        "ufunc": lambda s: s.map(np.sqrt, inplace=False),
        "numpy": lambda s: s.map(np.flipud, inplace=False),
        "rotate": lambda s: s.map(scipy.ndimage.rotate, angle=10, reshape=False, inplace=False),
        "gaussian": lambda s: s.map(scipy.ndimage.gaussian_filter, sigma=1, inplace=False),
    },
    "metadata": {"": lambda s: s.metadata.as_dictionary()},
    "original_metadata": {"": lambda s: s.original_metadata.as_dictionary()},
    "navigator": {"computed": lambda s: (s.compute_navigator(), s.navigator)[1]},
    "compute_navigator": {
        "": lambda s: s.compute_navigator(),
        "chunks": lambda s: (s.compute_navigator(chunks_number=3), s.navigator)[1],
        "index": lambda s: (s.compute_navigator(index=4), s.navigator)[1],
    },
    "ragged": {"": lambda s: s.ragged},
    "remove_spikes": {"sig": lambda s: s.remove_spikes(threshold_factor=3, axes=("kx", "ky"), inplace=False)},
    "rollaxis": {
        "nav": lambda s: s.rollaxis("x", "y"),
        "sig": lambda s: s.rollaxis("kx", "y"),
    },
    "swap_axes": {
        "nav": lambda s: s.swap_axes("x", "y"),
        "sig": lambda s: s.swap_axes("kx", "ky"),
        "mixed": lambda s: s.swap_axes("x", "kx"),
    },
    "save": {
        "hspy": lambda s, tmp_path: round_trip(s, tmp_path, ".hspy"),
        "zspy": lambda s, tmp_path: round_trip(s, tmp_path, ".zspy"),
        "hspy_chunks": lambda s, tmp_path: round_trip(s, tmp_path, ".hspy", chunks=(1, 2, 16, 12)),
        "uncompressed": lambda s, tmp_path: round_trip(s, tmp_path, ".hspy", compression=None),
    },
    "set_signal_origin": {"": lambda s: s.set_signal_origin("simulation")},
    "set_signal_type": {
        t or "none": lambda s, t=t: s.set_signal_type(t)
        for t in (
            "",
            "diffraction",
            "electron_diffraction",
            "polar_diffraction",
            "dpc",
            "insitu_diffraction",
            "power",
            "correlation",
        )
    },
    "split": {
        "auto": lambda s: s.split(),
        "x": lambda s: s.split("x", number_of_parts=2),
        "sizes": lambda s: s.split("y", step_sizes=[1, 2]),
        "kx": lambda s: s.split("kx", number_of_parts=3),
    },
    "__stack__": {
        "": lambda s: hs.stack([s, s]),
        "x": lambda s: hs.stack([s, s], axis="x"),
        "kx": lambda s: hs.stack([s, s], axis="kx"),
        "names": lambda s: hs.stack([s.inav[0], s.inav[1]], new_axis_name="run"),
        "split_and_stack": lambda s: hs.stack(s.split("x", number_of_parts=5), axis="x"),
    },
    "squeeze": {"": lambda s: s.inav[:1].squeeze()},
    "transpose": {
        "": lambda s: s.transpose(),
        "signal_axes": lambda s: s.transpose(signal_axes=("x", "kx")),
        "same": lambda s: s.transpose(signal_axes=("kx", "ky")),
        "navigation_axes": lambda s: s.transpose(navigation_axes=("y", "x")),
        "optimize": lambda s: s.transpose(signal_axes=1, optimize=True),
        "three": lambda s: s.transpose(signal_axes=3),
    },
    "rebin": {
        "sig": lambda s: s.rebin(scale=(1, 1, 2, 2)),
        "nav": lambda s: s.rebin(scale=(5, 3, 1, 1)),
        "both": lambda s: s.rebin(scale=(5, 1, 3, 4)),
        "new_shape": lambda s: s.rebin(new_shape=(5, 3, 6, 8)),
        "same": lambda s: s.rebin(scale=(1, 3, 2, 2), dtype="same"),
        "float": lambda s: s.rebin(scale=(1, 3, 2, 2), dtype=np.dtype("float32")),
        "f_": lambda s: s.rebin(scale=(1, 3, 2, 2)),
        "uneven": lambda s: s.rebin(scale=(1, 1, 5, 5)),
        "crop": lambda s: s.rebin(scale=(2, 2, 4, 4), crop=True),
    },
    "rechunk": {
        "": lambda s: s.rechunk(),
        "nav": lambda s: s.rechunk(nav_chunks=(1, 2)),
        "sig": lambda s: s.rechunk(nav_chunks=(3, 5), sig_chunks=(5, 7)),
        "then_map": lambda s: (
            s.rechunk(nav_chunks=(3, 5), sig_chunks=(5, 7)),
            s.map(total, inplace=False),
        )[1],
        "new": lambda s: s.rechunk(nav_chunks=(2, 2), inplace=False),
    },
    "get_chunk_size": {"": lambda s: s.get_chunk_size(), "0": lambda s: s.get_chunk_size(0)},
    "compute": {"": lambda s: s.compute(show_progressbar=False)},
    "get_histogram": {
        "ten": lambda s: s.get_histogram(bins=10),
        "range": lambda s: s.get_histogram(bins=5, range_bins=(0, 5)),
        "f_": lambda s: s.get_histogram(bins=7),
        "default": lambda s: s.get_histogram(),
    },
    "normalize_poissonian_noise": {"f_": lambda s: (plus_one(s), s.normalize_poissonian_noise())},
    "print_summary_statistics": {
        "": lambda s: [float(np.ravel(v)[0]) for v in s._calculate_summary_statistics()],
    },
    "plot": {
        "": lambda s: shown(s),
        "slider": lambda s: shown(s, navigator="slider"),
        "no_navigator": lambda s: shown(s, navigator=None),
        "norm": lambda s: shown(s, norm="log"),
        "cmap": lambda s: shown(s, cmap="gray"),
    },
    "update_plot": {"": lambda s: (shown(s), s.update_plot())[1]},
    "plot_integrated_intensity": {"": lambda s: plotted_intensity(s)},
    "__roi__": {
        **{k: lambda s, make=make: make()(s, axes=("kx", "ky")) for k, make in ROIS.items()},
        "nav_rectangle": lambda s: hs.roi.RectangularROI(2.5, 1.0, 4.0, 2.0)(s, axes=("x", "y")),
        "nav_circle": lambda s: hs.roi.CircleROI(3.0, 1.5, 0.6)(s, axes=("x", "y")),
        "nav_point": lambda s: hs.roi.Point2DROI(3.0, 1.5)(s, axes=("x", "y")),
        "span": lambda s: hs.roi.SpanROI(2.5, 4.0)(s, axes=("x",)),
        "line_sig": lambda s: hs.roi.Line2DROI(-0.4, -0.4, 0.3, 0.5, 0.2)(s, axes=("kx", "ky")),
        "line_nav": lambda s: hs.roi.Line2DROI(2.0, 1.0, 3.9, 1.9, 0.5)(s, axes=("x", "y")),
        "sum_in_circle": lambda s: ROIS["annulus"]()(s, axes=("kx", "ky")).nansum(("kx", "ky")),
        "mean_in_circle": lambda s: ROIS["circle"]()(s, axes=("kx", "ky")).nanmean(("kx", "ky")),
    },
    "get_integrated_intensity": {
        **{k: lambda s, make=make: s.get_integrated_intensity(make()) for k, make in ROIS.items() if k != "point"},
        "f_circle": lambda s: s.get_integrated_intensity(ROIS["circle"]()),
        "out_signal_axes": lambda s: s.get_integrated_intensity(ROIS["circle"](), out_signal_axes=("y",)),
        "out_yx": lambda s: s.get_integrated_intensity(ROIS["circle"](), out_signal_axes=("y", "x")),
        "sliced": lambda s: s.isig[2:, 1:].get_integrated_intensity(ROIS["rectangle"]()),
    },
    "get_virtual_image": {
        "one": lambda s: s.get_virtual_image([ROIS["circle"]()]),
        "four": lambda s: s.get_virtual_image([ROIS[k]() for k in ("circle", "annulus", "rectangle", "polygon")]),
        "alone": lambda s: s.get_virtual_image(ROIS["annulus"]()),
        "normalize": lambda s: s.get_virtual_image([ROIS["circle"]()], normalize=True),
        "axis": lambda s: s.get_virtual_image(
            [ROIS["circle"](), ROIS["annulus"]()], new_axis_dict={"name": "which", "scale": 2}
        ),
    },
    "add_navigation_signal": {"": lambda s: s.add_navigation_signal(np.arange(15).reshape(3, 5), name="thickness")},
    "unit": {"": lambda s: s.unit, "set": lambda s: setattr(s, "unit", "k_A^-1")},
    "beam_energy": {"": lambda s: (setattr(s, "beam_energy", 200.0), s.beam_energy)[1]},
    "camera_length": {"": lambda s: (setattr(s, "camera_length", 50.0), s.camera_length)[1]},
    "diffraction_calibration": {
        "": lambda s: (setattr(s, "diffraction_calibration", 0.2), s.diffraction_calibration)[1]
    },
    "scan_calibration": {"": lambda s: (setattr(s, "scan_calibration", 2.0), s.scan_calibration)[1]},
    "set_diffraction_calibration": {
        "": lambda s: s.set_diffraction_calibration(0.1),
        "center": lambda s: s.set_diffraction_calibration(0.1, center=(5, 7)),
    },
    "set_scan_calibration": {"": lambda s: s.set_scan_calibration(3.0)},
    "set_experimental_parameters": {"": lambda s: s.set_experimental_parameters(beam_energy=200.0, camera_length=80.0)},
    "angular_mask": {"": lambda s: s.angular_mask(0.2, 2.0)},
    "apply_affine_transformation": {
        "inplace": lambda s: s.apply_affine_transformation(affine()),
        "new": lambda s: s.apply_affine_transformation(affine(), inplace=False),
        "order": lambda s: s.apply_affine_transformation(affine(), order=0, inplace=False),
        "keep_dtype": lambda s: s.apply_affine_transformation(affine(), keep_dtype=True, inplace=False),
    },
    "apply_gain_normalisation": {
        "": lambda s: s.apply_gain_normalisation(np.full((16, 12), 0.5), np.full((16, 12), 3.0)),
        "new": lambda s: s.apply_gain_normalisation(np.zeros((16, 12)), np.full((16, 12), 3.0), inplace=False),
    },
    "center_direct_beam": {
        "com": lambda s: s.center_direct_beam(method="center_of_mass", inplace=False),
        "inplace": lambda s: s.center_direct_beam(method="center_of_mass"),
        "whole_pixels": lambda s: s.center_direct_beam(method="center_of_mass", subpixel=False, inplace=False),
        "shifts": lambda s: s.center_direct_beam(shifts=shifts(), inplace=False),
        "return_shifts": lambda s: s.center_direct_beam(method="blur", sigma=1, return_shifts=True, inplace=False),
        "not_lazy": lambda s: s.center_direct_beam(method="center_of_mass", lazy_output=False, inplace=False),
        "square": lambda s: s.center_direct_beam(method="center_of_mass", half_square_width=4, inplace=False),
        "f_": lambda s: s.center_direct_beam(method="center_of_mass", inplace=False),
    },
    "correct_bad_pixels": {
        "new": lambda s: s.correct_bad_pixels(mask(), inplace=False),
        "not_lazy": lambda s: s.correct_bad_pixels(mask(), inplace=False, lazy_output=False),
    },
    "filter": {
        "function": lambda s: s.filter(lambda d: d * 2),
        "sqrt": lambda s: s.filter(np.sqrt),
        "inplace": lambda s: s.filter(lambda d: d + 1, inplace=True),
    },
    "find_dead_pixels": {
        "": lambda s: s.find_dead_pixels(),
        "value": lambda s: s.find_dead_pixels(dead_pixel_value=2),
        "mask": lambda s: s.find_dead_pixels(mask=mask()),
    },
    "find_hot_pixels": {
        "": lambda s: s.find_hot_pixels(threshold_multiplier=2),
        "mask": lambda s: s.find_hot_pixels(threshold_multiplier=2, mask=mask()),
    },
    "flip_diffraction_x": {"": lambda s: s.flip_diffraction_x()},
    "flip_diffraction_y": {"": lambda s: s.flip_diffraction_y()},
    "rotate_diffraction": {"": lambda s: s.rotate_diffraction(30, show_progressbar=False)},
    "shift_diffraction": {
        "numbers": lambda s: s.shift_diffraction(2, -1, show_progressbar=False),
        "half": lambda s: s.shift_diffraction(0.5, 1.5, show_progressbar=False),
        "arrays": lambda s: s.shift_diffraction(np.full((3, 5), 1), np.full((3, 5), 2), show_progressbar=False),
        "inplace": lambda s: s.shift_diffraction(1, 1, inplace=True, show_progressbar=False),
    },
    "get_azimuthal_integral1d": {
        "": lambda s: calibrated(s).get_azimuthal_integral1d(npt=6),
        "mean": lambda s: calibrated(s).get_azimuthal_integral1d(npt=6, mean=True),
        "mask": lambda s: calibrated(s).get_azimuthal_integral1d(npt=6, mask=mask()),
        "mask_mean": lambda s: calibrated(s).get_azimuthal_integral1d(npt=6, mask=mask(), mean=True),
        "range": lambda s: calibrated(s).get_azimuthal_integral1d(npt=6, radial_range=(0.1, 0.6)),
        "inplace": lambda s: calibrated(s).get_azimuthal_integral1d(npt=6, inplace=True),
        "not_lazy": lambda s: calibrated(s).get_azimuthal_integral1d(npt=6, lazy_output=False),
        "f_": lambda s: calibrated(s).get_azimuthal_integral1d(npt=6),
        "detector": lambda s: detector_geometry(s).get_azimuthal_integral1d(npt=6),
        "affine": lambda s: with_affine(s).get_azimuthal_integral1d(npt=6),
        "stored_mask": lambda s: with_mask(s).get_azimuthal_integral1d(npt=6),
    },
    "get_azimuthal_integral2d": {
        "": lambda s: calibrated(s).get_azimuthal_integral2d(npt=6, npt_azim=9),
        "mean": lambda s: calibrated(s).get_azimuthal_integral2d(npt=6, npt_azim=9, mean=True),
        "mask": lambda s: calibrated(s).get_azimuthal_integral2d(npt=6, npt_azim=9, mask=mask()),
        "mask_mean": lambda s: calibrated(s).get_azimuthal_integral2d(npt=6, npt_azim=9, mask=mask(), mean=True),
        "range": lambda s: calibrated(s).get_azimuthal_integral2d(
            npt=6, npt_azim=9, radial_range=(0.1, 0.6), azimuth_range=(0, 2)
        ),
        "inplace": lambda s: calibrated(s).get_azimuthal_integral2d(npt=6, npt_azim=9, inplace=True),
        "not_lazy": lambda s: calibrated(s).get_azimuthal_integral2d(npt=6, npt_azim=9, lazy_output=False),
        "detector": lambda s: detector_geometry(s).get_azimuthal_integral2d(npt=6, npt_azim=9),
        "affine": lambda s: with_affine(s).get_azimuthal_integral2d(npt=6, npt_azim=9),
    },
    "__polar__": {
        "correlation": lambda s: polar(s).get_angular_correlation(),
        "correlation_mask": lambda s: polar(s).get_angular_correlation(mask=polar_mask(), lazy_output=False),
        "power": lambda s: polar(s).get_angular_power(),
        "full_correlation": lambda s: polar(s).get_full_pearson_correlation(),
        "background": lambda s: polar(s).subtract_diffraction_background(method="radial median"),
        "sum": lambda s: polar(s).sum(),
    },
    "get_variance": {
        m: lambda s, m=m: calibrated(s).get_variance(npt=5, method=m) for m in ("Omega", "r", "re", "VImage")
    }
    | {
        "gain": lambda s: calibrated(s).get_variance(npt=5, method="Omega", gain=1),
        "spatial": lambda s: calibrated(s).get_variance(npt=5, method="r", spatial=True),
        "f_VImage": lambda s: calibrated(s).get_variance(npt=5, method="VImage"),
    },
    "get_diffraction_vectors": {
        "": lambda s: s.get_diffraction_vectors(min_distance=2, threshold_abs=1),
        "calibration": lambda s: s.get_diffraction_vectors(center=(6, 8), calibration=(0.1, 0.1), min_distance=2),
        "no_intensity": lambda s: s.get_diffraction_vectors(get_intensity=False, min_distance=2),
    },
    "get_direct_beam_mask": {"": lambda s: s.get_direct_beam_mask(0.3)},
    "get_direct_beam_position": {
        "com": lambda s: s.get_direct_beam_position(method="center_of_mass"),
        "threshold": lambda s: s.get_direct_beam_position(method="center_of_mass", threshold=1.5),
        "mask": lambda s: s.get_direct_beam_position(method="center_of_mass", mask=(6, 8, 4)),
        "both": lambda s: s.get_direct_beam_position(method="center_of_mass", mask=(6, 8, 4), threshold=2),
        "slice": lambda s: s.get_direct_beam_position(method="center_of_mass", signal_slice=(2, 10, 3, 13)),
        "square": lambda s: s.get_direct_beam_position(method="center_of_mass", half_square_width=5),
        "not_lazy": lambda s: s.get_direct_beam_position(method="center_of_mass", lazy_output=False),
        "f_com": lambda s: s.get_direct_beam_position(method="center_of_mass"),
        "f_threshold": lambda s: s.get_direct_beam_position(method="center_of_mass", threshold=1.5),
        "blur": lambda s: s.get_direct_beam_position(method="blur", sigma=1),
        "interpolate": lambda s: s.get_direct_beam_position(
            method="interpolate", sigma=1, upsample_factor=2, kind="nearest"
        ),
        "cross_correlate": lambda s: s.get_direct_beam_position(
            method="cross_correlate", radius_start=2, radius_finish=4
        ),
    },
    "__beam_shift__": {
        "plane": lambda s: beam_shift(s).get_linear_plane(),
        "magnitude": lambda s: beam_shift(s).get_magnitude_signal(),
        "phase": lambda s: beam_shift(s).get_phase_signal(),
        "color": lambda s: beam_shift(s).get_color_signal(),
        "rotate": lambda s: beam_shift(s).rotate_beam_shifts(20),
    },
    "intensity_peaks": {
        "": lambda s: s.intensity_peaks(peaks(s), disk_r=2),
        "array": lambda s: s.intensity_peaks(peak_array(s), disk_r=2),
        "not_lazy": lambda s: s.intensity_peaks(peak_array(s), disk_r=2, lazy_result=False, show_progressbar=False),
    },
    "make_probe_navigation": {
        "fast": lambda s: (s.make_probe_navigation("fast"), s._navigator_probe)[1],
        "slow": lambda s: (s.make_probe_navigation("slow"), s._navigator_probe)[1],
    },
    "peak_position_refinement_com": {
        "": lambda s: s.peak_position_refinement_com(peaks(s), square_size=4),
        "array": lambda s: s.peak_position_refinement_com(peak_array(s), square_size=4),
        "not_lazy": lambda s: s.peak_position_refinement_com(
            peak_array(s), square_size=4, lazy_result=False, show_progressbar=False
        ),
    },
    "subtract_diffraction_background": {
        "dog": lambda s: s.subtract_diffraction_background("difference of gaussians", min_sigma=1, max_sigma=3),
        "median": lambda s: s.subtract_diffraction_background("median kernel", footprint=3),
        "radial": lambda s: s.subtract_diffraction_background("radial median", center_x=6, center_y=8),
        "hdome": lambda s: s.subtract_diffraction_background("h-dome", h=0.5),
        "inplace": lambda s: s.subtract_diffraction_background("median kernel", footprint=3, inplace=True),
        "f_dog": lambda s: s.subtract_diffraction_background("difference of gaussians", min_sigma=1, max_sigma=3),
        "not_lazy": lambda s: s.subtract_diffraction_background("median kernel", footprint=3, lazy_output=False),
    },
    "template_match": {
        "": lambda s: s.template_match(template()),
        "f_": lambda s: s.template_match(template()),
    },
    "template_match_disk": {
        "": lambda s: s.template_match_disk(disk_r=3),
        "inplace": lambda s: s.template_match_disk(disk_r=2, inplace=True),
    },
    "template_match_ring": {"": lambda s: s.template_match_ring(r_inner=2, r_outer=4)},
    "template_match_with_binary_image": {
        "": lambda s: s.template_match_with_binary_image(template()),
        "not_lazy": lambda s: s.template_match_with_binary_image(template(), lazy_result=False, show_progressbar=False),
    },
    "__after_compute__": {
        "threshold": lambda s: computed(s).threshold_and_mask(threshold=1, show_progressbar=False),
        "sum": lambda s: computed(s).sum(),
    },
    "threshold_and_mask": {
        "threshold": lambda s: s.threshold_and_mask(threshold=1, show_progressbar=False),
        "mask": lambda s: s.threshold_and_mask(mask=(6, 8, 4), show_progressbar=False),
        "both": lambda s: s.threshold_and_mask(threshold=0.5, mask=(6, 8, 4), show_progressbar=False),
        "neither": lambda s: s.threshold_and_mask(show_progressbar=False),
    },
    "add_peak_array_as_markers": {"": lambda s: s.add_peak_array_as_markers(np.ones((4, 2)), permanent=False)},
    "add_ellipse_array_as_markers": {
        "": lambda s: s.add_ellipse_array_as_markers(np.ones((3, 5, 5))),
        "one": lambda s: s.add_ellipse_array_as_markers(np.array([0.1, 0.1, 0.3, 0.2, 0.4])),
    },
    "add_marker": {
        "": lambda s: s.add_marker(
            hs.plot.markers.Points(offsets=np.array([[0.1, 0.1]])),
            permanent=True,
            plot_marker=False,
        )
    },
    "add_ramp": {"f_": lambda s: s.add_ramp(0.1, 0.2, 0.3)},
    "align2D": {
        "shifts": lambda s: s.align2D(shifts=shifts().data * 0 + [1.0, -1.0], fill_value=0),
        "f_estimated": lambda s: s.align2D(crop=False, fill_value=0, show_progressbar=False),
        "signal": lambda s: s.align2D(shifts=shifts(), crop=False, fill_value=0),
        "expand": lambda s: s.align2D(shifts=shifts(), expand=True, fill_value=0),
        "f_one_axis": lambda s: s.inav[:, 1].align2D(crop=False, fill_value=0, show_progressbar=False),
        "one_axis_given": lambda s: s.inav[:, 1].align2D(
            shifts=np.tile([1, -2], (5, 1)), fill_value=0, show_progressbar=False
        ),
    },
    "estimate_shift2D": {
        "": lambda s: s.estimate_shift2D(show_progressbar=False),
        "cascade": lambda s: s.estimate_shift2D(reference="cascade", show_progressbar=False),
        "stat": lambda s: s.estimate_shift2D(reference="stat", show_progressbar=False),
        "subpixel": lambda s: s.estimate_shift2D(sub_pixel_factor=4, show_progressbar=False),
    },
    "calibrate": {"": lambda s: s.calibrate(-0.5, -0.5, 0.3, 0.3, 2.0, units="1/nm", interactive=False)},
    "find_peaks": {
        m: lambda s, m=m, o=o: s.find_peaks(method=m, interactive=False, **o)
        for m, o in (
            ("local_max", {"min_distance": 2}),
            ("max", {"alpha": 1.5, "distance": 2}),
            ("minmax", {"distance": 3, "threshold": 1}),
            ("zaefferer", {"grad_threshold": 0.1, "window_size": 5, "distance_cutoff": 4}),
            ("stat", {"alpha": 1.0, "window_radius": 2}),
            ("laplacian_of_gaussian", {"min_sigma": 1, "max_sigma": 3}),
            ("difference_of_gaussian", {"min_sigma": 1, "max_sigma": 3}),
            ("template_matching", {"template": template()}),
        )
    }
    | {
        "current": lambda s: s.find_peaks(interactive=False, current_index=True, min_distance=2),
        "intensity": lambda s: s.find_peaks(interactive=False, get_intensity=True, min_distance=2),
        "not_lazy": lambda s: peaks(s),
    },
    "inav": {
        "point": lambda s: s.inav[1, 2],
        "slice": lambda s: s.inav[1:3, :2],
        "line": lambda s: s.inav[:, 1],
        "negative": lambda s: s.inav[-1],
        "step": lambda s: s.inav[::2, ::-1],
        "units": lambda s: s.inav[2.5:3.5, 1.0:1.5],
        "array": lambda s: s.inav[np.array([0, 3])],
        "empty": lambda s: s.inav[2:2],
        "set": lambda s: s.inav.__setitem__((1, 1), s.inav[0, 0] * 0 + 7),
    },
    "isig": {
        "point": lambda s: s.isig[1, 2],
        "slice": lambda s: s.isig[1:5, 3:],
        "line": lambda s: s.isig[:, 4],
        "units": lambda s: s.isig[-0.3:0.2, :0.1],
        "step": lambda s: s.isig[::2, ::-1],
        "set": lambda s: s.isig.__setitem__((slice(2, 4), slice(None)), 9),
        "both": lambda s: s.inav[1:4].isig[2:6, 3:9],
    },
    "axes_manager": {"": lambda s: s.axes_manager.as_dictionary()},
    "decomposition": {
        "f_svd": lambda s: model_up_to_sign(decomposed(s)),
        "f_full": lambda s: model_up_to_sign(decomposed(s, svd_solver="full")),
        "f_poisson": lambda s: model_up_to_sign(decomposed(plus_one(s), normalize_poissonian_noise=True)),
        "f_centre": lambda s: model_up_to_sign(decomposed(s, centre="signal")),
        "f_nmf": lambda s: model_up_to_sign(decomposed(s, algorithm="NMF", random_state=0)),
        "f_pca": lambda s: model_up_to_sign(decomposed(s, algorithm="PCA")),
        "f_masks": lambda s: model_up_to_sign(
            decomposed(s, navigation_mask=np.eye(5, 3, dtype=bool), signal_mask=mask().T)
        ),
        "integers": lambda s: decomposed(s),
    },
    "get_decomposition_model": {"f_": lambda s: decomposed(s).get_decomposition_model(2)},
    "get_decomposition_factors": {"f_": lambda s: up_to_sign(decomposed(s).get_decomposition_factors())},
    "get_decomposition_loadings": {"f_": lambda s: up_to_sign(decomposed(s).get_decomposition_loadings())},
    "get_explained_variance_ratio": {"f_": lambda s: decomposed(s, svd_solver="full").get_explained_variance_ratio()},
    "get_scree_plot_data": {"f_": lambda s: decomposed(s, svd_solver="full").get_explained_variance_ratio()},
    "estimate_elbow_position": {"f_": lambda s: int(s.estimate_elbow_position(np.geomspace(1, 1e-4, 8)))},
    "normalize_decomposition_components": {"f_": lambda s: up_to_sign(normalized(decomposed(s)))},
    "reverse_decomposition_component": {
        "f_": lambda s: (decomposed(s), s.reverse_decomposition_component(0), model_up_to_sign(s))[2]
    },
    "undo_treatments": {"f_": lambda s: undone(s)},
    "blind_source_separation": {"f_": lambda s: separated(s).get_bss_loadings().data.shape},
    "get_bss_model": {"f_": lambda s: separated(s).get_bss_model()},
    "get_bss_factors": {"f_": lambda s: separated(s).get_bss_factors().data.shape},
    "get_bss_loadings": {"f_": lambda s: separated(s).get_bss_loadings().data.shape},
    "normalize_bss_components": {"f_": lambda s: (separated(s), s.normalize_bss_components(), s.get_bss_model())[2]},
    "reverse_bss_component": {"f_": lambda s: (separated(s), s.reverse_bss_component(0), s.get_bss_model())[2]},
    "cluster_analysis": {"f_": lambda s: sorted(clustered(s).learning_results.cluster_labels.sum(1))},
    "estimate_number_of_clusters": {
        "f_": lambda s: number_of_clusters(s),
    },
    "get_cluster_labels": {"f_": lambda s: clustered(s).get_cluster_labels().data.sum()},
    "get_cluster_signals": {"f_": lambda s: clustered(s).get_cluster_signals().data.shape},
    "get_cluster_distances": {"f_": lambda s: clustered(s).get_cluster_distances().data.shape},
}


def inplace_zero(s):
    s.data = s.data * 0
    s.add_poissonian_noise()
    return s


def computed(s):
    s.compute(show_progressbar=False)
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


def with_affine(s):
    calibrated(s).calibration.affine = affine()
    return s


def with_mask(s):
    calibrated(s).calibration.mask = mask()
    return s


def polar(s):
    return calibrated(s).get_azimuthal_integral2d(npt=6, npt_azim=9, mean=True)


def polar_mask():
    out = np.zeros((6, 9), dtype=bool)
    out[2:4, 3] = True
    return out


def beam_shift(s):
    b = s.get_direct_beam_position(method="center_of_mass", lazy_output=False)
    b.data = np.nan_to_num(b.data)
    return b


def plotted_intensity(s):
    import matplotlib.pyplot as plt

    s.plot()
    s.plot_integrated_intensity(hs.roi.CircleROI(0.0, 0.0, 0.4))
    plt.close("all")


def up_to_sign(signal):
    signal.data = np.abs(np.asarray(signal.data))
    return signal.data


def normalized(s):
    s.normalize_decomposition_components(target="factors")
    return s.get_decomposition_factors()


def undone(s):
    plus_one(s)
    decomposed(s, normalize_poissonian_noise=True)
    s.undo_treatments()
    return s


def separated(s):
    decomposed(s)
    s.blind_source_separation(2, print_info=False, random_state=0)
    return s


def fitted(s):
    """A Gaussian fitted to the frame that is current."""
    s.axes_manager.indices = (2, 1)
    model = s.create_model()
    model.append(hs.model.components2D.Gaussian2D(A=1.0, centre_x=0.1, centre_y=0.1, sigma_x=0.2, sigma_y=0.2))
    model.fit()
    return [float(parameter.value) for parameter in model[0].parameters]


CASES |= {
    "close_file": {"": lambda s: s.close_file()},
    "create_model": {"": lambda s: fitted(s), "kind": lambda s: type(s.create_model()).__name__},
    "learning_results": {"f_": lambda s: decomposed(s, svd_solver="full").learning_results.explained_variance},
    "models": {"": lambda s: len(s.models)},
    "tmp_parameters": {"": lambda s: s.tmp_parameters.as_dictionary()},
    "to_device": {"": lambda s: s.to_device()},
    "to_host": {"": lambda s: s.to_host()},
    "to_signal1D": {"": lambda s: s.to_signal1D()},
    **{
        name: {"f_": lambda s, name=name: drawn(decomposed(s, svd_solver="full"), name)}
        for name in (
            "plot_cumulative_scree_plot",
            "plot_decomposition_factors",
            "plot_decomposition_loadings",
            "plot_scree_plot",
        )
    },
    **{
        name: {"f_": lambda s, name=name: drawn(clustered(s), name)}
        for name in ("plot_cluster_distances", "plot_cluster_labels", "plot_cluster_signals")
    },
    "plot_cluster_metric": {"f_": lambda s: (number_of_clusters(s), drawn(s, "plot_cluster_metric"))[1]},
    "export_decomposition_results": {
        "f_": lambda s, tmp_path: exported(decomposed(s), "export_decomposition_results", tmp_path)
    },
    "export_cluster_results": {"f_": lambda s, tmp_path: exported(clustered(s), "export_cluster_results", tmp_path)},
}

NOT_COMPARED = {
    "add_interactive_line_profile": "draws widgets; its data come from plot, which is compared",
    "export_bss_results": "as export_decomposition_results, of random components",
    "plot_bss_factors": "as plot_decomposition_factors, of components in random order",
    "plot_bss_loadings": "as plot_decomposition_loadings, of components in random order",
    "plot_bss_results": "draws both",
    "plot_cluster_results": "draws plot_cluster_signals and plot_cluster_labels with a slider",
    "plot_cumulative_explained_variance_ratio": "the old name of plot_cumulative_scree_plot",
    "plot_decomposition_results": "draws plot_decomposition_factors and _loadings with a slider",
    "plot_explained_variance_ratio": "the old name of plot_scree_plot",
}
