"""Running a published model over a case's tokens, and writing what it says as a golden file.

The format: README.md.  Owns where a case's model and tokens come from; cases.py says which there are.
"""
import hashlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import transformers
from cases import CASES, TINY
from published import load
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@torch.inference_mode()
def logits_at(model, tokens, positions):
    """(len(positions), vocabulary) float32."""
    keep = torch.tensor(positions)
    return model(torch.tensor([tokens]), use_cache=False, logits_to_keep=keep).logits[0].float()


def number(x):
    return f"{x:.9g}"  # nine digits bring back the same float32


def pairs(ids, row):
    return " ".join(f"{int(i)} {number(float(row[int(i)]))}" for i in ids)


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def header(case, path, model, tokens):
    origin = ("python3 tools/make_models.py " + " ".join(case["make"]) + f" --out {path.name}" if "make" in case
              else case["get"])
    lines = ["moraine-golden 1", f"model {path.name}", f"sha256 {digest(path)}", f"origin {origin}",
             f"reference transformers {transformers.__version__}, torch {torch.__version__}, "
             f"gguf {version('gguf')}, float32, eager attention, CPU",
             f"vocab {model.config.vocab_size}", f"tokens {len(tokens)}"]
    return lines + [" ".join(map(str, tokens[i:i + 20])) for i in range(0, len(tokens), 20)]


def record_positions(case, model, tokens, rng):
    rows = logits_at(model, tokens, case["positions"])
    # How far float32 itself is from the truth: the same weights with the sums in float64 (transformers
    # keeps rope's angles, the norms and softmax in float32 even then).  A reader's tolerance below
    # this number would be asking for luck.
    exact = logits_at(model.double(), tokens, case["positions"])
    noise = float((rows - exact).abs().max())
    lines = [f"rounding {number(noise)}", f"positions {len(case['positions'])}"]
    for p, row in zip(case["positions"], rows):
        top = torch.topk(row, case["top"]).indices
        sampled = rng.choice(len(row), case["sampled"], replace=False)
        lse = float(torch.logsumexp(row.double(), 0))
        lines += [f"at {p} logsumexp {number(lse)} top {len(top)} sampled {len(sampled)}",
                  pairs(top, row), pairs(sampled, row)]
    return lines, noise


def record_greedy(case, model, tokens):
    tokens, steps = list(tokens), []
    for _ in range(case["steps"]):
        # The whole text again at each step: no cache to be wrong about.
        row = logits_at(model, tokens, [len(tokens) - 1])[0]
        steps.append(f"{pairs(torch.topk(row, 2).indices, row)} {number(float(torch.logsumexp(row.double(), 0)))}")
        tokens.append(int(row.argmax()))
    return [f"steps {len(steps)}", *steps], tokens


def prompt_tokens(case, path, rng, vocab):
    if "make" in case:
        return rng.integers(0, vocab, TINY).tolist()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    if "chat" in case:
        text = tokenizer.apply_chat_template([{"role": "user", "content": case["chat"]}], tokenize=False,
                                             add_generation_prompt=True)
        return tokenizer(text, add_special_tokens=False).input_ids
    tokens = tokenizer((HERE / case["text"]).read_text("utf-8")).input_ids
    wanted = case["positions"][-1] + 1
    if len(tokens) < wanted:
        sys.exit(f"{case['text']} has {len(tokens)} tokens, {wanted} are wanted.")
    return tokens[:wanted]


def model_path(case, name, models, work):
    if "make" not in case:
        path = models / case["file"]
        if not path.exists():
            sys.exit(f"{path} is missing: run `{case['get']}`.")
        return path
    path = work / f"{name}.gguf"
    subprocess.run([sys.executable, ROOT / "tools" / "make_models.py", *case["make"], "--out", path], check=True,
                   stdout=subprocess.DEVNULL)
    return path


def write_case(name, models, work, out):
    case = CASES[name]
    path = model_path(case, name, models, work)
    model = load(path)
    # PCG64's integers and choice are the same in every numpy >= 1.17; the ids are in the file anyway.
    rng = np.random.Generator(np.random.PCG64(2024))
    tokens = prompt_tokens(case, path, rng, model.config.vocab_size)
    lines = header(case, path, model, tokens)
    if "steps" in case:
        more, full = record_greedy(case, model, tokens)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        note = repr(tokenizer.decode(full[len(tokens):]))
    else:
        more, noise = record_positions(case, model, tokens, rng)
        note = f"float32 is within {noise:.2g} of float64"
    target = out / f"{name}.golden"
    target.write_text("\n".join([*lines, *more, "end"]) + "\n", encoding="ascii")
    print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB, {len(tokens)} tokens; {note}", flush=True)
