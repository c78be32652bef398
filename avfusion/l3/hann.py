"""TensorFlow's Hann window, bit by bit.

Where a spectrogram is nearly silent, even the last bit of the window shows in its decibels. The
published features were made with the cosine of Eigen (the version without fused multiply-add, as in
TensorFlow's AVX builds), which rounds differently from NumPy's and torch's.
"""

import numpy as np
import numpy.typing as npt

_TWO_OVER_PI = 0.63661975
_HALF_PI_PARTS = (1.5703125, 0.00048398972, -1.6286504e-07, -5.5644316e-11)  # their sum is pi / 2
_COSINE = (2.4372266e-05, -0.001388652, 0.04166662, -0.5, 1.0)  # of x^2, highest power first
_SINE = (-0.00019590662, 0.008332703, -0.16666663)


def tensorflow_hann(length: int) -> npt.NDArray[np.float32]:
    """tf.signal.hann_window(length, periodic=True), bit by bit: [length]."""
    counts = np.arange(length, dtype=np.float32)
    angles = np.float32(2 * np.pi) * counts / np.float32(length)
    return np.float32(0.5) - np.float32(0.5) * _eigen_cosine(angles)


def _eigen_cosine(angles: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cosine of angles (radians, not negative), every operation rounded to float32."""
    quadrant = np.rint(angles * np.float32(_TWO_OVER_PI))
    rest = angles
    for part in _HALF_PI_PARTS:
        rest = rest - quadrant * np.float32(part)
    square = rest * rest
    cosine = _polynomial(_COSINE, square)
    sine = _polynomial(_SINE, square) * square * rest + rest
    number = quadrant.astype(np.int64)
    return np.where(number % 2 == 0, cosine, sine) * np.where((number + 1) // 2 % 2 == 0, 1, -1).astype(np.float32)


def _polynomial(coefficients: tuple[float, ...], x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + np.float32(coefficient)
    return value
