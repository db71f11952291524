"""Tokenizers for random models: made up from a few lines of text, or taken from a tokenizer.json."""

import json
import re
from pathlib import Path

import numpy as np

CORPUS = """the quick brown fox jumps over the lazy dog and then the dog sleeps in the sun .
def main(argc, argv): return 0
int main(int argc, char ** argv) { for (int i = 0; i < n; ++i) { sum += x[i] * y[i]; } return 0; }
import numpy as np
class Model: def __init__(self, path): self.path = path
if this is a test then we write a function that returns the value of the list
please write a program which reads a file and prints the number of lines in the file
you are a helpful assistant . what is the weather in the city of paris today ?
async function fetchData(url) { const res = await fetch(url); return res.json(); }
template <typename T> static inline T max(T a, T b) { return a > b ? a : b; }
"""
SPECIALS = ("<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> "
            "<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> "
            "<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> "
            "<|file_sep|> <tool_response> </tool_response> <think> </think>").split()
N_CONTROL = 14  # so many of SPECIALS are control tokens, the others are the user's
CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
GEMMA = ("{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + m['role'] + '\\n' + m['content'] + "
         "'<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}")
# tokenizer.ggml.token_type
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def byte_characters():
    """GPT-2's visible character for each byte."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    characters, shifted = {b: chr(b) for b in sorted(visible)}, 256
    for b in range(256):
        if b not in characters:
            characters[b] = chr(shifted)
            shifted += 1
    return characters


def train_bpe(words, n):
    """words: lists of symbols, merged in place. Returns at most n merges, most frequent first, ties by order."""
    merges = []
    while len(merges) < n:
        counts = {}
        for word in words:
            for pair in zip(word, word[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = max(counts.items(), key=lambda item: (item[1], item[0]))[0]
        merges.append(best)
        for word in words:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == best:
                    word[i:i + 2] = [word[i] + word[i + 1]]
                i += 1
    return merges


def byte_level_bpe(n_vocab, pre):
    """A gpt2-style tokenizer of n_vocab tokens, with Qwen's special tokens."""
    characters = byte_characters()
    tokens = [characters[b] for b in sorted(characters, key=lambda b: characters[b])]
    if n_vocab <= 4096:
        words = [[characters[b] for b in w.encode()] for w in re.findall(r" ?\w+| ?[^\s\w]+|\s+", CORPUS)]
        merges = train_bpe(words, n_vocab - 256 - len(SPECIALS) - 4)
    else:  # synthetic: letter pairs, then pairs of pairs
        letters = "abcdefghijklmnopqrstuvwxyz"
        pairs = [(a, b) for a in ["Ġ", *letters] for b in letters]
        needed = n_vocab - 256 - len(SPECIALS) - len(pairs) - 200
        merges = pairs + [(a + b, c + d) for a, b in pairs for c, d in pairs if c != "Ġ"][:needed]
    tokens += [a + b for a, b in merges]
    types = [NORMAL] * len(tokens)
    first_special = len(tokens)
    tokens += SPECIALS
    types += [CONTROL] * N_CONTROL + [USER] * (len(SPECIALS) - N_CONTROL)
    while len(tokens) < n_vocab:
        types.append(UNUSED)
        tokens.append(f"[PAD{len(tokens)}]")
    return dict(model="gpt2", pre=pre, tokens=tokens, types=types, merges=[f"{a} {b}" for a, b in merges],
                eos=first_special + 2, bos=first_special, pad=first_special, template=CHATML)


def from_tokenizer_json(path, n_vocab, pre):
    """A byte-level BPE tokenizer.json in Qwen's manner, padded to n_vocab tokens."""
    source = json.loads(Path(path).read_text("utf-8"))
    tokens, types = [None] * n_vocab, [UNUSED] * n_vocab
    for token, i in source["model"]["vocab"].items():
        tokens[i], types[i] = token, NORMAL
    for added in source["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], CONTROL if added["special"] else USER
    tokens = [t if t is not None else f"[PAD{i}]" for i, t in enumerate(tokens)]
    ids = {t: i for i, t in enumerate(tokens)}
    merges = [m if isinstance(m, str) else " ".join(m) for m in source["model"]["merges"]]
    return dict(model="gpt2", pre=pre, tokens=tokens, types=types, merges=merges, eos=ids["<|im_end|>"],
                bos=ids["<|endoftext|>"], pad=ids["<|endoftext|>"], template=CHATML)


def sentence_piece(n_vocab):
    """A SentencePiece tokenizer in Gemma's manner: byte fallback, scores in the order of the merges."""
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    types, scores = [CONTROL] * 3 + [UNKNOWN] + [CONTROL] * 2, [-1000.0] * 6

    def add(token, kind, score):
        tokens.append(token)
        types.append(kind)
        scores.append(score)

    for b in range(256):
        add(f"<0x{b:02X}>", BYTE, -1000.0)
    text = CORPUS.replace(" ", "\u2581")
    characters = sorted(set(text))
    words = [list(w) for w in re.findall(r"\u2581?\w+|\u2581?[^\s\w\u2581]+|\s+|\u2581", text)]
    merges = train_bpe(words, max(0, min(n_vocab - len(tokens) - len(characters) - 4, 4000)))
    for rank, (a, b) in enumerate(merges):
        add(a + b, NORMAL, -float(rank))
    for rank, character in enumerate(characters):
        add(character, NORMAL, -float(len(merges) + rank))
    while len(tokens) < n_vocab:
        add(f"<unused{len(tokens)}>", UNUSED, -9999.0)
    return dict(model="llama", pre="default", tokens=tokens, types=types, scores=scores, eos=1, bos=2, pad=0, unk=3,
                add_bos=True, template=GEMMA)


def _is_text(raw):
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not any(b < 32 and b not in b"\t\n" for b in raw)


def output_row_factors(tokenizer):
    """One factor for each row of the output matrix: control tokens and lone bytes never become the likeliest."""
    bytes_of = {c: b for b, c in byte_characters().items()}
    factors = np.ones(len(tokenizer["tokens"]), np.float32)
    for i, (token, kind) in enumerate(zip(tokenizer["tokens"], tokenizer["types"])):
        plain = kind == NORMAL
        if plain and tokenizer["model"] == "gpt2":
            plain = _is_text(bytes(bytes_of.get(c, 63) for c in token))
        if not plain:
            factors[i] = 0.05
    return factors
