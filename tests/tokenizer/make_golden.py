#!/usr/bin/env python3
"""Writes the golden id files that golden_test.cpp holds moraine to, with the `tokenizers` package as
the reference (reference_tokenizers.py). Run again after changing nasty_texts.py:

  make_golden.py            # models/*.gguf -> tests/tokenizer/golden/*.txt

Lines:  <l|s> <text as hex> <id> <id> ...         l: specials are letters, s: specials are parsed
        <L> <hex of a unit> <times> <n ids> <hash>   a unit repeated; FNV-1a of the ids' bytes"""
import struct
import sys
from pathlib import Path

import nasty_texts as corpus
import reference_tokenizers as reference

ROOT = Path(__file__).resolve().parents[2]
FILES = {"smollm2": "smollm2-135m-instruct-q4_1.gguf", "gemma3": "gemma3-270m-q4_k_m.gguf"}
LARGE = [("a", 1 << 20), (" ", 1 << 20), ("\n", 1 << 20), ("!", 1 << 20), ("abcdefghij", 100_000), ("漢字", 150_000),
         ("👨‍👩‍👧‍👦", 40_000), ("é\u0323", 200_000), ("7", 200_000), (corpus.CODE, 2_000)]


def fnv1a(ids):
    value = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}i", *ids):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def main():
    for name, file in FILES.items():
        vocab = reference.Vocab(ROOT / "models" / file)
        lines = [f"# Written by tests/tokenizer/make_golden.py from the vocabulary of {file}."]
        for mark, parse_special in (("l", False), ("s", True)):
            tokenizer = reference.build(vocab, parse_special)
            encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
            for text in corpus.SMALL + list(corpus.random_texts(150)):
                lines.append(" ".join([mark, text.encode().hex() or "-", *map(str, encode(text))]))
            if not parse_special:
                for unit, times in LARGE:
                    ids = encode(unit * times)
                    lines.append(f"L {unit.encode().hex()} {times} {len(ids)} {fnv1a(ids):x}")
        out = Path(__file__).parent / "golden" / f"{name}.txt"
        out.parent.mkdir(exist_ok=True)
        out.write_text("\n".join(lines) + "\n")
        print(f"{out.relative_to(ROOT)}: {len(lines)} lines, {out.stat().st_size} bytes")


if __name__ == "__main__":
    sys.exit(main())
