"""A GGUF file's metadata, and its tensors as float32.

Owns: opening the file, looking up keys, dequantising. What the numbers mean to a published model:
published/.
"""
import sys

import gguf
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
