"""Drives the tokenizer_probe program (probe.cpp): encode and decode through moraine from Python."""
import os
import struct
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADD_SPECIAL, PARSE_SPECIAL, DECODE, STREAM, SHOW = 1, 2, 16, 32, 64


class Probe:
    def __init__(self, model):
        build = Path(os.environ.get("MORAINE_BUILD_DIR", ROOT / "build"))
        self.process = subprocess.Popen(
            [build / "tests/tokenizer/tokenizer_probe", str(model)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seconds = 0.0  # that the last request took

    def _ask(self, op, data):
        self.process.stdin.write(struct.pack("<II", op, len(data)) + data)
        self.process.stdin.flush()
        size, ns = struct.unpack("<IQ", self.process.stdout.read(12))
        self.seconds = ns * 1e-9
        return self.process.stdout.read(size)

    def encode(self, text, add_special=False, parse_special=False):
        data = text.encode("utf-8") if isinstance(text, str) else text
        reply = self._ask(ADD_SPECIAL * add_special | PARSE_SPECIAL * parse_special, data)
        return list(struct.unpack(f"<{len(reply) // 4}i", reply))

    def decode(self, ids, stream=False, show_control=False):
        return self._ask((STREAM if stream else DECODE) | SHOW * show_control, struct.pack(f"<{len(ids)}i", *ids))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
