"""GGUF's metadata values and tensor types, as far as the random models need them."""

import struct

import numpy as np

# Metadata value types, by their number in the file.
U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR = range(10)
ALIGNMENT = 32
# name: (ggml type id, values in a block, bytes of a block)
TYPES = {
    "f32": (0, 1, 4), "f16": (1, 1, 2), "bf16": (30, 1, 2),
    "q4_0": (2, 32, 18), "q4_1": (3, 32, 20), "q5_0": (6, 32, 22), "q5_1": (7, 32, 24), "q8_0": (8, 32, 34),
    "q2_k": (10, 256, 84), "q3_k": (11, 256, 110), "iq4_nl": (20, 32, 18), "iq4_xs": (23, 256, 136),
    "mxfp4": (39, 32, 17),
    "q4_k": (12, 256, 144), "q5_k": (13, 256, 176), "q6_k": (14, 256, 210),
}
# general.file_type of a whole model
FILE_TYPES = {
    "f32": 0, "f16": 1, "bf16": 32, "q4_0": 2, "q4_1": 3, "q5_0": 8, "q5_1": 9, "q8_0": 7,
    "q2_k": 10, "q3_k": 11, "iq4_nl": 25, "iq4_xs": 30, "mxfp4": 38,
    "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18,
}
_SCALARS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}
_ARRAYS = {I32: "<i4", U32: "<u4", F32: "<f4", BOOL: "u1"}


def string(s):
    """A length-prefixed string, from str (as UTF-8) or bytes."""
    raw = s if isinstance(s, bytes) else s.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def entry(key, kind, value, element=None):
    """One metadata key and its value; `element` is the value type of an array's elements."""
    out = string(key) + struct.pack("<I", kind)
    if kind == STR:
        return out + string(value)
    if kind == ARR:
        out += struct.pack("<IQ", element, len(value))
        if element == STR:
            return out + b"".join(string(v) for v in value)
        return out + np.asarray(value, _ARRAYS[element]).tobytes()
    return out + struct.pack(_SCALARS[kind], value)


def tensor_info(name, shape, type_name, offset):
    """One tensor's entry; shape innermost first, offset in bytes from the start of the data."""
    return (string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
            + struct.pack("<IQ", TYPES[type_name][0], offset))


def header(n_tensors, n_entries):
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_entries)


def size_bytes(type_name, shape):
    _, block, block_bytes = TYPES[type_name]
    return int(np.prod(shape, dtype=np.int64)) // block * block_bytes


def padding(n):
    """Bytes that take n to the next multiple of the alignment."""
    return -n % ALIGNMENT
