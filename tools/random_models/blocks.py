"""Random weights, drawn directly as valid quantised blocks.

Codes are uniform; scales are set so that the values have a given deviation. Nothing is quantised from
floats, so a model of gigabytes takes seconds, and every code and scale field is exercised.
"""

import numpy as np

from .container import TYPES

# Deviation of a uniform code of so many levels, in steps: sqrt((levels^2 - 1) / 12).
_DEV4, _DEV8, _DEV16, _DEV32, _DEV64, _DEV256 = 1.118, 2.291, 4.61, 9.23, 18.47, 73.9
# Of a uniform code's value in the tables of IQ4_NL and IQ4_XS, and of MXFP4.
_DEV_IQ4, _DEV_MXFP4 = 70.8, 2.93
_RMS_10_TO_31 = 21.46  # root mean square of these integers


def _f16(a):
    return a.astype("<f2").view(np.uint8).reshape(-1, 2)


def _plain(rng, type_name, n, deviation, per_row):
    w = rng.standard_normal(n, np.float32) * deviation * per_row
    if type_name == "bf16":
        return (w.view(np.uint32) >> 16).astype("<u2").tobytes()
    return w.astype("<f4" if type_name == "f32" else "<f2").tobytes()


def _signed_scales(rng, n_blocks, n):
    """6-bit fields of scales from -31 to 31, stored plus 32; the sign cancels the codes' mean over blocks."""
    sign = rng.integers(0, 2, (n_blocks, n)) * 2 - 1
    return (rng.integers(10, 32, (n_blocks, n)) * sign + 32).astype(np.uint8)


def random_blocks(rng, type_name, n, deviation, rows=None):
    """The bytes of n values of mean zero and about the given deviation.

    rows: one factor for each matrix row; n must then be a whole number of rows.
    """
    _, block, block_bytes = TYPES[type_name]
    n_blocks, deviation = n // block, np.float32(deviation)
    per = np.float32(1) if rows is None else np.repeat(np.asarray(rows, np.float32), n // block // len(rows))
    if block == 1:
        return _plain(rng, type_name, n, deviation, per)
    # Block-to-block spread. In float64, then rounded: numpy's float32 exp gives other last bits on
    # other CPUs, and the bytes of a model must not depend on where it was made.
    spread = np.exp(rng.standard_normal(n_blocks, np.float32).astype(np.float64) * 0.15).astype(np.float32) * per
    raw = rng.integers(0, 256, (n_blocks, block_bytes), np.uint8)
    # Codes lie at -8..7, half a step off zero: a scale of random sign cancels that over blocks.
    sign = np.where(raw[:, -1] & 1, 1.0, -1.0).astype(np.float32)
    if type_name == "q8_0":
        raw[:, 0:2] = _f16(spread * (deviation / _DEV256))
    elif type_name == "q4_0":
        raw[:, 0:2] = _f16(spread * sign * (deviation / _DEV16))
    elif type_name == "q5_0":
        raw[:, 0:2] = _f16(spread * sign * (deviation / _DEV32))
    elif type_name in ("q4_1", "q5_1"):  # scale, then the minimum that centres the codes
        steps, middle = (_DEV16, -7.5) if type_name == "q4_1" else (_DEV32, -15.5)
        scale = spread * (deviation / steps)
        raw[:, 0:2] = _f16(scale)
        raw[:, 2:4] = _f16(scale * middle)
    elif type_name in ("q4_k", "q5_k"):
        steps, middle = (_DEV16, 7.5) if type_name == "q4_k" else (_DEV32, 15.5)
        scales = rng.integers(32, 64, (n_blocks, 8), np.uint8)  # of 6 bits, one for each 32 values
        minima = scales  # equal to the scales: mean zero
        scale = spread * (deviation / (steps * 48.4))  # 48.4: root mean square of the scales
        raw[:, 0:2] = _f16(scale)
        raw[:, 2:4] = _f16(scale * middle)
        raw[:, 4:8] = (scales[:, :4] & 63) | ((scales[:, 4:] >> 4) << 6)
        raw[:, 8:12] = (minima[:, :4] & 63) | ((minima[:, 4:] >> 4) << 6)
        raw[:, 12:16] = (scales[:, 4:] & 15) | ((minima[:, 4:] & 15) << 4)
    elif type_name == "q6_k":
        scales = rng.integers(40, 128, (n_blocks, 16), np.int16) * np.where(raw[:, 192:208] & 1, 1, -1)
        raw[:, 192:208] = scales.astype(np.int8).view(np.uint8)
        raw[:, 208:210] = _f16(spread * (deviation / (_DEV64 * 87.0)))  # 87: their root mean square
    elif type_name == "q2_k":
        scales = rng.integers(8, 16, (n_blocks, 16), np.uint8)  # of 4 bits, one for each 16 values
        raw[:, 0:16] = scales | scales << 4  # minima equal to the scales: mean zero
        scale = spread * (deviation / (_DEV4 * 11.73))  # 11.73: root mean square of the scales
        raw[:, 80:82] = _f16(scale)
        raw[:, 82:84] = _f16(scale * 1.5)
    elif type_name == "q3_k":
        scales = _signed_scales(rng, n_blocks, 16)
        raw[:, 96:104] = (scales[:, :8] & 15) | (scales[:, 8:] & 15) << 4
        raw[:, 104:108] = sum((scales[:, 4 * t:4 * t + 4] >> 4) << 2 * t for t in range(4))
        raw[:, 108:110] = _f16(spread * (deviation / (_DEV8 * _RMS_10_TO_31)))
    elif type_name == "iq4_nl":
        raw[:, 0:2] = _f16(spread * sign * (deviation / _DEV_IQ4))
    elif type_name == "iq4_xs":
        scales = _signed_scales(rng, n_blocks, 8)
        raw[:, 0:2] = _f16(spread * (deviation / (_DEV_IQ4 * _RMS_10_TO_31)))
        raw[:, 2:4] = sum((scales[:, t::4] >> 4) << 2 * t for t in range(4))
        raw[:, 4:8] = (scales[:, 0::2] & 15) | (scales[:, 1::2] & 15) << 4
    elif type_name == "mxfp4":  # a scale is a power of two
        raw[:, 0] = 127 + np.rint(np.log2(spread.astype(np.float64) * (deviation / _DEV_MXFP4)))
    else:
        raise ValueError(f"no random blocks for type {type_name}")
    return raw.tobytes()


def random_vector(rng, kind, shape):
    """The bytes of a float32 tensor that is no matrix, or None if `kind` names a matrix."""
    n = int(np.prod(shape, dtype=np.int64))
    if kind == "norm":
        values = 1 + 0.1 * rng.standard_normal(n)
    elif kind == "postnorm":  # outweighs the sqrt(width) embedding scale
        values = 6 + 0.5 * rng.standard_normal(n)
    elif kind == "qknorm":
        values = 1.3 + 0.1 * rng.standard_normal(n)
    elif kind == "bias":
        values = 0.1 * rng.standard_normal(n)
    elif kind == "vec":
        values = rng.standard_normal(n) / np.sqrt(n)
    elif kind == "conv":
        values = rng.standard_normal(n) * 0.6
    elif kind == "a":  # -exp(A_log)
        values = -rng.uniform(0.5, 8.0, n)
    elif kind == "dt":  # inverse softplus of a log-uniform time step
        step = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), n))
        values = step + np.log(-np.expm1(-step))
    else:
        return None
    return np.asarray(values, "<f4").tobytes()


def matrix_deviation(kind, shape):
    """Deviation of a matrix's weights: a gain over what keeps the variance of its input."""
    head = 3.0 / np.sqrt(shape[0])  # logits with a deviation of about 3
    return {"embd": 1.0, "tied": head, "head": head}.get(kind) or kind / np.sqrt(shape[0])
