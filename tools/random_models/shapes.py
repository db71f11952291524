"""What the models of each architecture measure, and the tensors they consist of."""

import re

from .container import TYPES

ARCHITECTURES = ("llama", "mistral3", "qwen2", "qwen3", "qwen3moe", "qwen3next", "qwen35", "qwen35moe", "gemma3")
# Layers of Gated DeltaNet between layers of gated attention.
HYBRID = ("qwen3next", "qwen35", "qwen35moe")
# Types for rows that are no multiple of a K-quant's 256 values.
FALLBACK = {"q2_k": "iq4_nl", "q3_k": "iq4_nl", "iq4_xs": "iq4_nl", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0"}


def dimensions(arch, preset, size=None):
    """Numbers of a model: `tiny` for tests, else those of a published one (`slice`: four layers of it)."""
    tiny = preset == "tiny"
    d = dict(vocab=512, ctx=4096, layers=4, embd=256, ff=512, heads=4, kv=2, hd=64, eps=1e-6, base=1e6, tied=True)
    if arch == "llama":  # SmolLM2-135M
        d.update(base=1e4, eps=1e-5, hd=64)
        if not tiny:
            d.update(vocab=49152, ctx=8192, layers=30, embd=576, ff=1536, heads=9, kv=3, base=1e5)
    elif arch == "mistral3":  # Ministral 3 3B
        d.update(eps=1e-5, yarn=16.0, yarn_beta_fast=32.0, yarn_beta_slow=1.0, yarn_log_multiplier=1.0, temperature=0.1)
        if not tiny:
            d.update(vocab=131072, ctx=262144, layers=26, embd=3072, ff=9216, heads=32, kv=8, hd=128)
    elif arch == "qwen2":  # Qwen2.5-0.5B
        if not tiny:
            d.update(vocab=151936, ctx=32768, layers=24, embd=896, ff=4864, heads=14, kv=2)
    elif arch == "qwen3":  # Qwen3-0.6B, 1.7B
        if not tiny:
            d.update(vocab=151936, ctx=40960, layers=28, heads=16, kv=8, hd=128)
            large = (size or ("1.7b" if preset == "slice" else "0.6b")) == "1.7b"
            d.update(dict(embd=2048, ff=6144) if large else dict(embd=1024, ff=3072))
    elif arch == "qwen3moe":  # Qwen3-30B-A3B
        d.update(tied=False, experts=16, topk=4, ff_exp=256)
        if not tiny:
            d.update(vocab=151936, ctx=32768, layers=48, embd=2048, ff=6144, heads=32, kv=4, hd=128,
                     experts=128, topk=8, ff_exp=768)
    elif arch in HYBRID:
        d.update(tied=False, rot=16, interval=4, conv=4, state=64, k_heads=2, v_heads=4)
        if arch != "qwen35":
            d.update(experts=32, topk=4, ff_exp=256, ff_sh=256)
        if arch != "qwen3next":
            d.update(base=1e7, sections=(3, 3, 2, 0))
        if not tiny and arch == "qwen35":  # Qwen3.5-9B
            d.update(vocab=248320, ctx=262144, layers=32, embd=4096, ff=12288, heads=16, kv=4, hd=256,
                     rot=64, sections=(11, 11, 10, 0), state=128, k_heads=16, v_heads=32)
        elif not tiny and arch == "qwen35moe":  # Qwen3.5-35B-A3B
            d.update(vocab=248320, ctx=262144, layers=40, embd=2048, heads=16, kv=2, hd=256,
                     experts=256, topk=8, ff_exp=512, ff_sh=512,
                     rot=64, sections=(11, 11, 10, 0), state=128, k_heads=16, v_heads=32)
        elif not tiny:  # Qwen3-Coder-Next
            d.update(vocab=151936, ctx=262144, layers=48, embd=2048, ff=5120, heads=16, kv=2, hd=256, base=5e6,
                     experts=512, topk=10, ff_exp=512, ff_sh=512, rot=64, state=128, k_heads=16, v_heads=32)
    elif arch == "gemma3":  # Gemma 3 270M
        d.update(layers=6, swa=64, eps=1e-6)
        if not tiny:
            d.update(vocab=262144, ctx=32768, layers=18, embd=640, ff=2048, heads=4, kv=1, hd=256, swa=512)
    if preset == "slice":
        d["layers"] = 4
    return d


def is_recurrent(arch, d, i):
    return arch in HYBRID and (i + 1) % d["interval"] != 0


def tensors(arch, d):
    """Yield (name, shape innermost first, kind). kind: a matrix's gain, or the name of an initialisation."""
    width = d["embd"]
    yield "token_embd.weight", (width, d["vocab"]), "tied" if d["tied"] else "embd"
    for i in range(d["layers"]):
        yield from _block(arch, f"blk.{i}.", d, is_recurrent(arch, d, i))
    for i in range(d["layers"], d["layers"] + d.get("mtp", 0)):
        yield from _block(arch, f"blk.{i}.", d, recurrent=False)
        yield from _next_token_head(f"blk.{i}.nextn.", d)
    yield "output_norm.weight", (width,), "norm"
    if not d["tied"]:
        yield "output.weight", (width, d["vocab"]), "head"


def _block(arch, prefix, d, recurrent):
    width = d["embd"]
    yield prefix + "attn_norm.weight", (width,), "norm"
    if recurrent:
        yield from _delta_net(arch, prefix, d)
    else:
        yield from _attention(arch, prefix, d)
    if arch in (*HYBRID, "gemma3"):
        yield prefix + "post_attention_norm.weight", (width,), "postnorm" if arch == "gemma3" else "norm"
    if arch not in HYBRID:
        yield prefix + "ffn_norm.weight", (width,), "norm"
    if arch == "gemma3":
        yield prefix + "post_ffw_norm.weight", (width,), "postnorm"
    if "experts" in d:
        yield from _experts(prefix, d)
    else:
        yield prefix + "ffn_gate.weight", (width, d["ff"]), 1.0
        yield prefix + "ffn_up.weight", (width, d["ff"]), 1.0
        yield prefix + "ffn_down.weight", (d["ff"], width), 1.0


def _next_token_head(prefix, d):
    """What a block that predicts one token further (MTP) has beyond a layer."""
    width = d["embd"]
    yield prefix + "eh_proj.weight", (2 * width, width), 1.0
    for name in ("enorm", "hnorm", "shared_head_norm"):
        yield prefix + name + ".weight", (width,), "norm"


def _attention(arch, prefix, d):
    width, n_heads, n_kv, head_dim = d["embd"], d["heads"], d["kv"], d["hd"]
    # hybrids: a gate as wide as the queries comes out of the same matrix
    yield prefix + "attn_q.weight", (width, n_heads * head_dim * (2 if arch in HYBRID else 1)), 1.0
    yield prefix + "attn_k.weight", (width, n_kv * head_dim), 1.0
    yield prefix + "attn_v.weight", (width, n_kv * head_dim), 1.0
    if arch == "qwen2":
        for name, n in (("q", n_heads), ("k", n_kv), ("v", n_kv)):
            yield prefix + f"attn_{name}.bias", (n * head_dim,), "bias"
    if arch in ("qwen3", "qwen3moe", "gemma3", *HYBRID):
        yield prefix + "attn_q_norm.weight", (head_dim,), "qknorm"
        yield prefix + "attn_k_norm.weight", (head_dim,), "qknorm"
    yield prefix + "attn_output.weight", (n_heads * head_dim, width), 0.7


def _delta_net(arch, prefix, d):
    width, key_dim, value_dim = d["embd"], d["state"] * d["k_heads"], d["state"] * d["v_heads"]
    if d.get("ssm_in"):  # the first files' layout: q, k, v and z in one matrix, grouped by key head
        yield prefix + "ssm_in.weight", (width, 2 * key_dim + 2 * value_dim), 1.0
    else:
        yield prefix + "attn_qkv.weight", (width, 2 * key_dim + value_dim), 1.0
        yield prefix + "attn_gate.weight", (width, value_dim), 1.0
    if arch == "qwen3next":
        yield prefix + "ssm_ba.weight", (width, 2 * d["v_heads"]), 0.7
    else:
        yield prefix + "ssm_alpha.weight", (width, d["v_heads"]), 0.7
        yield prefix + "ssm_beta.weight", (width, d["v_heads"]), 0.7
    yield prefix + "ssm_conv1d.weight", (d["conv"], 2 * key_dim + value_dim), "conv"
    yield prefix + "ssm_dt.bias", (d["v_heads"],), "dt"
    yield prefix + "ssm_a", (d["v_heads"],), "a"
    yield prefix + "ssm_norm.weight", (d["state"],), "norm"
    yield prefix + "ssm_out.weight", (value_dim, width), 0.5


def _experts(prefix, d):
    width, n_experts, ff = d["embd"], d["experts"], d["ff_exp"]
    yield prefix + "ffn_gate_inp.weight", (width, n_experts), 2.0
    if d.get("gate_up"):  # an expert's gate and up projections in one matrix, gate first
        yield prefix + "ffn_gate_up_exps.weight", (width, 2 * ff, n_experts), 1.2
    else:
        yield prefix + "ffn_gate_exps.weight", (width, ff, n_experts), 1.2
        yield prefix + "ffn_up_exps.weight", (width, ff, n_experts), 1.2
    yield prefix + "ffn_down_exps.weight", (ff, width, n_experts), 1.2
    if "ff_sh" in d:
        yield prefix + "ffn_gate_inp_shexp.weight", (width,), "vec"
        yield prefix + "ffn_gate_shexp.weight", (width, d["ff_sh"]), 1.0
        yield prefix + "ffn_up_shexp.weight", (width, d["ff_sh"]), 1.0
        yield prefix + "ffn_down_shexp.weight", (d["ff_sh"], width), 1.0


def is_value_matrix(name):
    return "attn_v.weight" in name or "attn_qkv.weight" in name


def _more_bits(i, n):
    """The layers to which the usual mixtures give more bits: the first and last eighth, and each third between."""
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def tensor_type(ftype, name, shape, d, value_index, n_values):
    """The type that the usual Q4_K_M and Q5_K_M mixtures give a tensor; other file types are one type throughout.

    value_index, n_values: which of the model's value matrices this is, if it is one.
    """
    if len(shape) < 2 or "_norm" in name or "ffn_gate_inp" in name or "ssm_conv1d" in name:
        return "f32"
    is_output = name == "output.weight" or (name == "token_embd.weight" and d["tied"])
    if ftype in ("q4_k_m", "q5_k_m"):
        chosen = ftype[:4]
        layer = int(m.group(1)) if (m := re.match(r"blk\.(\d+)\.", name)) else 0
        if (is_output or (is_value_matrix(name) and _more_bits(value_index, n_values))
                or ("ffn_down" in name and _more_bits(layer, d["layers"]))):
            chosen = "q6_k"
    else:
        chosen = "q6_k" if is_output and ftype.startswith("q") and ftype != "q8_0" else ftype
    for _ in range(2):  # the fallback may not fit either
        if shape[0] % TYPES[chosen][1]:
            chosen = FALLBACK.get(chosen, "f16")
    return chosen
