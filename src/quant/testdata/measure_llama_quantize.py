#!/usr/bin/env python3
"""Makes rows.f32 for pack_test.cpp and prints the errors its table quotes.

    pip install numpy gguf ik-llama-cpp-python
    python measure_llama_quantize.py MODEL.gguf path/to/ik_llama_cpp/lib/libggml.so

rows.f32: three kinds of 8 rows of 512 float32: gaussian; Student's t with 3 degrees of freedom;
rows of MODEL's token embedding as stored there in Q8_0 (SmolLM2-135M-Instruct, Apache-2.0).
The error is the root of the mean squared error of a round trip over the root mean square of the
values. ggml_quantize_chunk without importance matrix is what llama-quantize calls for each tensor;
its bytes are read back with gguf's dequantize.
"""

import ctypes
import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFReader
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

HERE = pathlib.Path(__file__).parent
KINDS = ["gaussian", "heavy-tailed", "weights"]


def make_rows(model):
    rng = np.random.default_rng(11)
    embedding = next(t for t in GGUFReader(model).tensors if t.name == "token_embd.weight")
    weights = dequantize(embedding.data[1000:1008], embedding.tensor_type)[:, :512]
    return np.stack(
        [rng.normal(0, 0.02, (8, 512)), rng.standard_t(3, (8, 512)) * 0.02, weights]
    ).astype(np.float32)


def main():
    model, library = sys.argv[1:]
    rows = make_rows(model)
    (HERE / "rows.f32").write_bytes(rows.tobytes())
    ggml = ctypes.CDLL(library)
    i32, i64, pointer = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
    ggml.ggml_quantize_chunk.argtypes = [i32, pointer, pointer, i64, i64, i64, pointer]
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    for qtype in [T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K,
                  T.Q2_K, T.Q3_K, T.IQ4_NL, T.IQ4_XS]:
        length, size = GGML_QUANT_SIZES[qtype]
        for kind, x in zip(KINDS, rows):
            packed = np.zeros((8, 512 // length * size), np.uint8)
            ggml.ggml_quantize_chunk(qtype, x.ctypes.data, packed.ctypes.data, 0, 8, 512, None)
            error = dequantize(packed, qtype).astype(np.float64) - x
            relative = np.sqrt((error**2).mean() / (x.astype(np.float64) ** 2).mean())
            print(f"{qtype.name} {kind} {relative:.6f}")


if __name__ == "__main__":
    main()
