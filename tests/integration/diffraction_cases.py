"""Calls of the methods that pyXem gives to diffraction patterns, and of regions of interest on the detector."""

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
from method_inputs import ROIS, affine, mask, peaks, shifts, template


def calibrated(s, center=(7, 5)):
    s.calibration.center = center
    s.calibration.scale = 0.1
    s.calibration.units = "k_A^-1"
    return s


def detector_geometry(s):
    s.unit = "k_nm^-1"
    s.calibration(physical_pixel_size=15e-6, detector_distance=0.3, beam_energy=200, center=(7, 5))
    return s


def peak_array(s):
    """Peaks as the array of arrays that some methods ask for, in pixels."""
    found = peaks(s).data
    out = np.empty(found.shape, dtype=object)
    for place in np.ndindex(found.shape):
        out[place] = np.asarray(found[place], dtype=float)
    return out


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
    s.plot()
    s.plot_integrated_intensity(hs.roi.CircleROI(0.0, 0.0, 0.4))
    plt.close("all")


def computed(s):
    s.compute(show_progressbar=False)
    return s


DIFFRACTION = {
    "plot_integrated_intensity": {"": lambda s: plotted_intensity(s)},
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
}
