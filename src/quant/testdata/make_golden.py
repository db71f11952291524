#!/usr/bin/env python3
"""Makes the golden files of format_test.cpp with the Python package `gguf` (0.19.0) and NumPy.

    python src/quant/testdata/make_golden.py

<name>.unpack: n blocks' bytes, then the n * block_len float32 that gguf's dequantize gives.
<name>.pack:   n * block_len float32, then the n blocks' bytes that gguf's quantize gives.
n follows from the file's size. Only inputs with a defined answer are here: blocks whose 1/d
overflows float, NaN and infinities, whose conversion to an integer NumPy leaves open, are tested
by properties instead. So are signalling NaN halves.
"""

import pathlib

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

HERE = pathlib.Path(__file__).parent

# name: (type, byte offsets of the half fields, blocks)
FORMATS = {
    "f16": (T.F16, [0], 512),
    "bf16": (T.BF16, [], 512),
    "q4_0": (T.Q4_0, [0], 32),
    "q4_1": (T.Q4_1, [0, 2], 32),
    "q5_0": (T.Q5_0, [0], 32),
    "q5_1": (T.Q5_1, [0, 2], 32),
    "q8_0": (T.Q8_0, [0], 32),
    "q4_K": (T.Q4_K, [0, 2], 24),
    "q5_K": (T.Q5_K, [0, 2], 24),
    "q6_K": (T.Q6_K, [208], 24),
    "q2_K": (T.Q2_K, [80, 82], 24),
    "q3_K": (T.Q3_K, [108], 24),
    "iq4_nl": (T.IQ4_NL, [0], 32),
    "iq4_xs": (T.IQ4_XS, [0], 24),
    "mxfp4": (T.MXFP4, [], 300),
}
PACKED = ["f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "mxfp4"]

# Halves put into the scale fields in turn: zeros of both signs, least and largest subnormals, least
# normals, one, largest, infinities, a quiet NaN.
EDGES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF,
         0x7C00, 0xFC00, 0x7E00]


def unpack_blocks(rng, qtype, halves, n):
    _, size = GGML_QUANT_SIZES[qtype]
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    if size == 2:
        return blocks
    blocks[0] = 0x00
    blocks[1] = 0xFF
    blocks[2] = 0x80  # int8 -128, lone high bits
    blocks[3] = 0x7F
    if qtype == T.MXFP4:
        blocks[4:260, 0] = np.arange(256)  # every exponent
        return blocks
    ordinary = rng.normal(0, 0.02, (n, len(halves))).astype(np.float16).view(np.uint16)
    for b in range(n):
        for k, offset in enumerate(halves):
            if b in (0, 2, 3):
                half = np.uint16(0x3C00)
            elif b == 1:
                half = np.uint16(0x7BFF)  # largest scale with all quants and scales all ones
            elif b - 4 < len(EDGES):
                half = np.uint16(EDGES[(b - 4 + 5 * k) % len(EDGES)])
            else:
                half = ordinary[b, k]
            blocks[b, offset : offset + 2] = np.frombuffer(half.tobytes(), np.uint8)
    return blocks


def pack_values(rng, qtype, n):
    length, _ = GGML_QUANT_SIZES[qtype]
    if length == 1:
        bits = rng.integers(0, 2**32, n, dtype=np.uint32)
        halfway = (rng.integers(0x33000000, 0x47800000, n // 2, dtype=np.uint32) & ~np.uint32(0x1FFF)) | 0x1000
        bits[: n // 2] = halfway | (rng.integers(0, 2, n // 2, dtype=np.uint32) << 31)
        values = bits.view(np.float32).copy()
        return np.where(np.isfinite(values), values, np.float32(1)).reshape(n, 1)
    x = rng.normal(0, 0.02, (n, length)).astype(np.float32)
    x[0] = 0
    x[1] = 1
    x[2] = -1
    x[3] = np.arange(length) - 16
    x[4] = np.arange(length) - 15.5  # ties
    x[5, 1:] = 0  # one value alone
    x[6, :-1] = 0
    x[7] *= 1e-6  # subnormal scales
    x[8] *= 1e6
    x[9] *= 1e9  # scales beyond a half: infinity
    x[10] = np.abs(x[10])
    x[11] = -np.abs(x[11])
    x[12] = rng.standard_t(2, length).astype(np.float32)
    x[13] = np.tile([3.0, -3.0], length // 2)  # equal magnitudes: the first wins
    x[14] = np.tile([-3.0, 3.0], length // 2)
    x[15] = rng.integers(-127, 128, length) / np.float32(2)
    return x


def main():
    rng = np.random.default_rng(20240607)
    for name, (qtype, halves, n) in FORMATS.items():
        blocks = unpack_blocks(rng, qtype, halves, n)
        if name == "f16":  # signalling NaNs: NumPy builds differ
            bits = blocks.view(np.uint16)
            bits[(bits & 0x7C00 == 0x7C00) & (bits & 0x3FF != 0)] |= 0x200
        with np.errstate(all="ignore"):
            values = dequantize(blocks, qtype).astype(np.float32)
        (HERE / f"{name}.unpack").write_bytes(blocks.tobytes() + values.tobytes())
        if name in PACKED:
            x = pack_values(rng, qtype, min(n, 512 if GGML_QUANT_SIZES[qtype][0] == 1 else 32))
            with np.errstate(all="ignore"):
                packed = quantize(x, qtype)
            (HERE / f"{name}.pack").write_bytes(x.tobytes() + packed.tobytes())


if __name__ == "__main__":
    main()
