#!/usr/bin/env python3
"""Write small.gguf with the Python package `gguf`, independent of our own writer.  Needs gguf, numpy.

The tests in reader_test.cpp and writer_test.cpp state the same values; the bytes are committed, so that
building and testing needs no Python.
"""
from pathlib import Path

import gguf
import numpy as np

out = Path(__file__).with_name("small.gguf")
w = gguf.GGUFWriter(out, "llama")
w.add_custom_alignment(64)
w.add_uint8("t.u8", 200)
w.add_int8("t.i8", -100)
w.add_uint16("t.u16", 60000)
w.add_int16("t.i16", -30000)
w.add_uint32("t.u32", 4000000000)
w.add_int32("t.i32", -2000000000)
w.add_float32("t.f32", 0.1)
w.add_bool("t.true", True)
w.add_bool("t.false", False)
w.add_string("t.string", "naïve \U0001f600\n")
w.add_uint64("t.u64", 2**63)
w.add_int64("t.i64", -2**62)
w.add_float64("t.f64", 0.1)
w.add_array("t.strings", ["", "a", "Ġthe", "日本"])
w.add_array("t.ints", [-1, 0, 7])
w.add_array("t.floats", [0.5, -2.0])
w.add_array("t.bools", [True, False, True])
w.add_tensor("f32", np.arange(6, dtype=np.float32).reshape(2, 3))
w.add_tensor("f16", np.array([1.0, -0.5, 65504.0], dtype=np.float16))
q = (np.arange(128, dtype=np.float32) - 64).reshape(2, 64)
for t in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0):
    w.add_tensor(t.name.lower(), gguf.quants.quantize(q, t), raw_dtype=t)
w.add_tensor("i32", np.arange(24, dtype=np.int32).reshape(2, 1, 3, 4))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
