"""Integrated centre of mass: the surface whose slope is the centre of mass at each scan position.

In Fourier space, with frequencies Q along y and x in cycles per position and a slope C, the surface is
``C.Q / (2 pi i |Q|^2)``: the one whose slope differs least from C. Its mean is 0.

References
----------
.. [1] I. Lazić, E. G. T. Bosch, S. Lazar, Ultramicroscopy 160, 265 (2016).
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["integrated"]


def integrated(slope: np.ndarray, rotation: float = 0.0, flip: bool = False) -> np.ndarray:
    """Integrate a slope over the scan.

    Parameters
    ----------
    slope : numpy.ndarray of float64, shape (ny, nx, 2)
        Along x and y of the detector; NaN where it is not known, which is taken for the mean.
    rotation : float
        Degrees that the scan is turned against the detector, positive from x to y.
    flip : bool
        Whether the detector is mirrored top to bottom before it is turned.

    Returns
    -------
    numpy.ndarray of float64, shape (ny, nx)
        In units of the slope times scan steps. The scan is taken as periodic, with equal steps along y and x.

    Examples
    --------
    >>> import numpy as np
    >>> from rsciio_tpx3.live.integrated import integrated
    >>> angle = 2 * np.pi * np.arange(8) / 8
    >>> slope = np.zeros((5, 8, 2))
    >>> slope[..., 0] = np.cos(angle)
    >>> surface = integrated(slope)
    >>> np.allclose(surface, np.sin(angle) * 8 / (2 * np.pi))
    True
    """
    known = np.isfinite(slope).all(axis=-1)
    if not known.any():
        return np.zeros(slope.shape[:2])
    centred = np.where(known[..., None], slope - slope[known].mean(axis=0), 0.0)
    x, y = centred[..., 0], -centred[..., 1] if flip else centred[..., 1]
    cosine, sine = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    x, y = sine * y + cosine * x, cosine * y - sine * x
    n_rows, n_columns = x.shape
    qy, qx = np.fft.fftfreq(n_rows)[:, None], np.fft.rfftfreq(n_columns)[None, :]
    square = qy**2 + qx**2
    square[0, 0] = 1.0
    # of the highest frequency the slope of a real picture has no direction
    qy, qx = np.where(qy == -0.5, 0.0, qy), np.where(qx == 0.5, 0.0, qx)
    spectrum = (np.fft.rfft2(x) * qx + np.fft.rfft2(y) * qy) / (2j * np.pi * square)
    spectrum[0, 0] = 0.0
    return np.fft.irfft2(spectrum, s=x.shape)
