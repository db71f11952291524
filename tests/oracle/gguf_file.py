"""A GGUF file's metadata, and its tensors as float32.

Owns: opening the file, looking up keys, dequantising, also into another file. What the numbers mean to a published model:
published/.
"""
import sys

import gguf
import numpy as np
from gguf.quants import dequantize


class File:
    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.arch = self.meta("general.architecture")

    def meta(self, key, default=None):
        field = self.reader.fields.get(key)
        return default if field is None else field.contents()

    def own(self, key, default=None):
        """A key under the architecture's name; without a default it must be there."""
        value = self.meta(f"{self.arch}.{key}", default)
        if value is None:
            sys.exit(f"The file has no {self.arch}.{key}, which the configuration needs.")
        return value

    def has(self, name):
        return any(t.name == name for t in self.reader.tensors)

    def n_vocab(self):
        return next(int(t.shape[1]) for t in self.reader.tensors if t.name == "token_embd.weight")

    def tensors(self):
        """{name: float32 array}. gguf lists a shape innermost first; an array has it as torch does: (rows, columns)."""
        return {t.name: dequantize(t.data, t.tensor_type).reshape(tuple(int(n) for n in reversed(t.shape)))
                for t in self.reader.tensors}


def dequantised(path, work):
    """The same model with every tensor in float32, or None where it is so already."""
    reader = gguf.GGUFReader(path)
    if all(t.tensor_type == gguf.GGMLQuantizationType.F32 for t in reader.tensors):
        return None
    out = work / f"{path.stem}-dequantised.gguf"
    writer = gguf.GGUFWriter(out, reader.get_field("general.architecture").contents(), use_temp_file=False)
    for key, f in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        kind = f.types[0]
        writer.add_key_value(key, f.contents(), kind, f.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for t in reader.tensors:
        shape = tuple(int(n) for n in reversed(t.shape))
        writer.add_tensor(t.name, np.ascontiguousarray(dequantize(t.data, t.tensor_type).reshape(shape), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
