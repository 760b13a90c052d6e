"""Calls of reductions, operators and functions of NumPy."""

import hyperspy.api as hs
import numpy as np
from method_inputs import AXES, ROIS, inplace, mask, nav_signal


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


ARITHMETIC = {
    **reductions(),
    "__operators__": operators(),
}
