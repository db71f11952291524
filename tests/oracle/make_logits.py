#!/usr/bin/env python3
"""Golden logits: what "equal to the published implementation" means for this engine.

Owns: reading a GGUF file, undoing what its converter did to the weights, running the result in
Hugging Face transformers (float32, CPU, eager attention) and writing a sample of the logits to
golden/*.golden.  Owns no tolerance: docs/numerics.md and the C++ test do.  The format of the
golden files, and how to make them again: README.md.

    make_logits.py --list
    make_logits.py tiny-llama-f32 smollm2-135m ...     (no names: all of them)

Both sides start from the same numbers: every tensor is dequantised by the `gguf` package to
float32, so what is compared is the forward pass, not the loss that quantisation brings.

Needs torch, transformers, gguf and numpy: only to make the files, never to test against them.
"""
import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf.quants import dequantize
from transformers import AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
QUESTION = "Write a Python function that adds two numbers."

# ------------------------------------------------------------------ what is recorded
# positions: which of the prompt's positions, top: how many of the likeliest tokens,
# sampled: how many vocabulary ids drawn at random, anew at each position.
SPARSE_300 = [0, 1, 2, 3, 7, 15, 31, 32, 63, 64, 65, 100, 127, 128, 129, 150, 200, 255, 256, 257, 270, 285, 298, 299]
# Gemma's window is 512: position 512 is the first that cannot see position 0 in a sliding layer.
SPARSE_600 = [0, 1, 2, 7, 31, 63, 64, 127, 128, 200, 255, 256, 257, 383, 480, 510, 511, 512, 513, 514, 540, 575, 598, 599]
TINY = 333  # tokens: past the tiny gemma's window of 64, past 256, and no round number
EVERY = list(range(TINY))
SOME = sorted({*range(0, TINY, 4), 1, 2, 63, 64, 65, 255, 257, TINY - 1})


def tiny(arch, ftype, *shape):
    args = ["--arch", arch, "--preset", "tiny", "--ftype", ftype, *shape]
    dense = ftype == "f32" and not shape  # the tight comparison: every position
    return dict(make=args, positions=EVERY if dense else SOME, top=2 if dense else 8, sampled=8)


CASES = {
    "tiny-llama-f32": tiny("llama", "f32"),
    "tiny-llama-q8_0": tiny("llama", "q8_0"),
    "tiny-llama-q4_k_m": tiny("llama", "q4_k_m"),
    # Attention shapes: no sharing of keys, narrow heads; one key head for all, wide heads; and
    # heads that together are wider than the model.
    "tiny-llama-f32-h8-kv8-d32": tiny("llama", "f32", "--heads", "8", "--kv-heads", "8", "--head-dim", "32"),
    "tiny-llama-f32-h2-kv1-d128": tiny("llama", "f32", "--heads", "2", "--kv-heads", "1", "--head-dim", "128"),
    "tiny-llama-f32-h8-kv2-d64": tiny("llama", "f32", "--heads", "8", "--kv-heads", "2", "--head-dim", "64"),
    "tiny-gemma3-f32": tiny("gemma3", "f32"),
    "tiny-gemma3-q8_0": tiny("gemma3", "q8_0"),
    "tiny-gemma3-q4_k_m": tiny("gemma3", "q4_k_m"),
    "smollm2-135m": dict(file="smollm2-135m-instruct-q4_1.gguf", get="make model", text="prompt.txt",
                         positions=SPARSE_300, top=64, sampled=16),
    "smollm2-135m-greedy": dict(file="smollm2-135m-instruct-q4_1.gguf", get="make model", chat=QUESTION, steps=32),
    "gemma3-270m": dict(file="gemma3-270m-q4_k_m.gguf", get="make model-gemma", text="prompt.txt",
                        positions=SPARSE_600, top=64, sampled=16),
}


# ------------------------------------------------------------------ from GGUF to transformers
class File:
    """A GGUF file's metadata and its tensors as float32."""

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

    def tensors(self):
        for t in self.reader.tensors:
            # gguf lists a shape innermost first; the array comes out as torch has it: (rows, columns).
            yield t.name, dequantize(t.data, t.tensor_type).reshape(tuple(int(n) for n in reversed(t.shape)))


def common_config(f):
    heads = f.own("attention.head_count")
    head_dim = f.own("attention.key_length", f.own("embedding_length") // heads)
    if f.own("attention.value_length", head_dim) != head_dim:
        sys.exit("transformers' llama and gemma3 have value heads as wide as key heads; this file has not.")
    if f.own("rope.dimension_count", head_dim) != head_dim:
        sys.exit("transformers' llama and gemma3 rotate whole heads; this file rotates a part.")
    n_vocab = next(int(t.shape[1]) for t in f.reader.tensors if t.name == "token_embd.weight")
    return dict(
        vocab_size=n_vocab,
        hidden_size=f.own("embedding_length"),
        intermediate_size=f.own("feed_forward_length"),
        num_hidden_layers=f.own("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=f.own("attention.head_count_kv", heads),
        head_dim=head_dim,
        # Metadata holds float32: 1e-5 reads back as 9.99999975e-06, the number that C++ computes with too.
        rms_norm_eps=f.own("attention.layer_norm_rms_epsilon"),
        max_position_embeddings=f.own("context_length"),
        tie_word_embeddings=not any(t.name == "output.weight" for t in f.reader.tensors),
        bos_token_id=None, eos_token_id=None, pad_token_id=None,  # no token is special to a forward pass
        attention_dropout=0.0,
    )


def rope(theta, factor=None):
    if factor in (None, 0.0, 1.0):
        return {"rope_type": "default", "rope_theta": theta}
    return {"rope_type": "linear", "rope_theta": theta, "factor": factor}


def linear_factor(f):
    kind = f.own("rope.scaling.type", "none")
    if kind not in ("none", "linear"):
        sys.exit(f"Rope scaling of type {kind} is not handled here.")
    return f.own("rope.scaling.factor", 1.0) if kind == "linear" else None


# Names: GGUF's suffix in a block -> transformers'.  Where the two disagree about a norm's name, the
# place in the block is what counts: gemma3's "ffn_norm" stands before the feed-forward, its
# "post_attention_norm" after attention and before the residual is added.
LLAMA_BLOCK = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
GEMMA3_BLOCK = {
    **LLAMA_BLOCK,
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
}
TOP_LEVEL = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
             "output.weight": "lm_head.weight"}


def published_name(name, block):
    if name in TOP_LEVEL:
        return TOP_LEVEL[name]
    head, _, rest = name.partition(".")
    layer, _, rest = rest.partition(".")
    suffix, _, kind = rest.rpartition(".")
    if head != "blk" or suffix not in block or kind != "weight":
        sys.exit(f"The tensor {name} has no counterpart in the published model.")
    return f"model.layers.{layer}.{block[suffix]}.{kind}"


def halves_from_pairs(w, n_heads):
    """Rows of a q or k projection, from pairs (2i, 2i + 1) to halves (i, i + head_dim / 2).

    Rope turns channel pairs.  The weights that Meta published for Llama pair neighbours, 2i with
    2i + 1; transformers pairs i with i + head_dim / 2 (its rotate_half) and has its rows permuted to
    suit.  A GGUF of architecture "llama" has Meta's order: its converter permutes transformers' rows
    back (LlamaModel.permute in llama.cpp's convert_hf_to_gguf.py), and the engine rotates neighbours
    ("norm" rope).  Other architectures, gemma3 and qwen among them, keep transformers' order and
    rotate halves ("neox" rope).
    """
    rows, columns = w.shape
    return w.reshape(n_heads, rows // n_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def llama(f):
    config = LlamaConfig(**common_config(f), hidden_act="silu", attention_bias=False, mlp_bias=False,
                         rope_parameters=rope(f.own("rope.freq_base", 10000.0), linear_factor(f)))
    state = {}
    for name, w in f.tensors():
        if name.endswith(".attn_q.weight"):
            w = halves_from_pairs(w, config.num_attention_heads)
        elif name.endswith(".attn_k.weight"):
            w = halves_from_pairs(w, config.num_key_value_heads)
        state[published_name(name, LLAMA_BLOCK)] = torch.tensor(w)
    return LlamaForCausalLM, config, state


def gemma3(f):
    common = common_config(f)
    # In every group of six layers five look at a window and the sixth at everything.  The files say
    # how wide the window is, not which layers have it: that is the architecture's, as is the rope base
    # of 10,000 in the windowed layers, which no scaling touches (llama.cpp: rope_freq_base_train_swa).
    n_layers = common["num_hidden_layers"]
    kinds = ["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(n_layers)]
    config = Gemma3TextConfig(
        **common, hidden_activation="gelu_pytorch_tanh", attention_bias=False,
        layer_types=kinds,
        # A query sees its own position and the window - 1 before it: key > query - window.
        sliding_window=f.own("attention.sliding_window"),
        rope_parameters={"sliding_attention": rope(10000.0),
                         "full_attention": rope(f.own("rope.freq_base", 1e6), linear_factor(f))},
        # Scores are divided by sqrt(query_pre_attn_scalar).  Not in the file: head_dim in all published
        # sizes but 27B (62 layers), where it is hidden_size / heads.
        query_pre_attn_scalar=(common["hidden_size"] // common["num_attention_heads"] if n_layers == 62
                               else common["head_dim"]),
        final_logit_softcapping=None, attn_logit_softcapping=None, use_bidirectional_attention=False)
    # transformers multiplies embeddings by sqrt(hidden_size) itself, rounded to the weights' type:
    # here float32.  (Google's bfloat16 run rounds it to bfloat16; llama.cpp, as here, does not.)
    state = {}
    for name, w in f.tensors():
        if name.endswith("_norm.weight"):
            # gemma's norm multiplies by 1 + weight, and the converter stores the sum.  transformers adds
            # the 1 again: that costs at most half a unit of 2^-24 of the gain.
            w = w - np.float32(1)
        state[published_name(name, GEMMA3_BLOCK)] = torch.tensor(w)
    return Gemma3ForCausalLM, config, state


ARCHITECTURES = {"llama": llama, "gemma3": gemma3}


def load(path):
    """The published model with the file's weights, in float32."""
    f = File(path)
    if f.arch not in ARCHITECTURES:
        sys.exit(f"{path} is of architecture {f.arch}; known here: {', '.join(ARCHITECTURES)}.")
    model_class, config, state = ARCHITECTURES[f.arch](f)
    # Eager attention is the published formula written out: scores, mask, softmax in float32, values.
    config._attn_implementation = "eager"
    model = model_class(config).float().eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    allowed = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if set(missing) - allowed or unexpected:
        sys.exit(f"{path}: no tensor for {sorted(set(missing) - allowed)}, no use for {unexpected}.")
    model.tie_weights()
    return model


# ------------------------------------------------------------------ running and writing
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
             f"gguf {gguf_version()}, float32, eager attention, CPU",
             f"vocab {model.config.vocab_size}", f"tokens {len(tokens)}"]
    return lines + [" ".join(map(str, tokens[i:i + 20])) for i in range(0, len(tokens), 20)]


def gguf_version():
    from importlib.metadata import version
    return version("gguf")


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
