#!/usr/bin/env python3
"""Golden logits: what "equal to the published implementation" means for this engine.

The command that makes golden/*.golden: each case's GGUF file, with what its converter did to the weights
undone, run in Hugging Face transformers (float32, CPU, eager attention).  Owns no tolerance:
docs/numerics.md and the C++ test do.  The parts:

    cases.py       what is recorded of which models
    gguf_file.py   reading a file
    published/     its weights as the published model, a module for each family
    recording.py   running it and writing the file; the format: README.md

    make_logits.py --list
    make_logits.py tiny-llama-f32 smollm2-135m ...     (no names: all of them)

Both sides start from the same numbers: every tensor is dequantised by the `gguf` package to
float32, so what is compared is the forward pass, not the loss that quantisation brings.

Needs torch, transformers, gguf and numpy: only to make the files, never to test against them.
"""
import argparse
import tempfile
from pathlib import Path

import torch
from cases import CASES
from recording import HERE, ROOT, write_case


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("names", nargs="*", metavar="NAME", help="which golden files to write (default: all)")
    ap.add_argument("--list", action="store_true", help="list the names and stop")
    ap.add_argument("--models", type=Path, default=ROOT / "models", help="where the real models lie")
    ap.add_argument("--out", type=Path, default=HERE / "golden")
    a = ap.parse_args()
    if a.list:
        print("\n".join(CASES))
        return
    if unknown := [n for n in a.names if n not in CASES]:
        ap.error(f"unknown: {', '.join(unknown)}; --list names them all")
    torch.set_float32_matmul_precision("highest")  # true float32 products, never bfloat16 inside
    with tempfile.TemporaryDirectory() as work:
        for name in a.names or CASES:
            write_case(name, a.models, Path(work), a.out)


if __name__ == "__main__":
    main()
