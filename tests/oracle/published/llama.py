"""Llama, SmolLM2, Mistral."""
from transformers import LlamaConfig, LlamaForCausalLM

from .common import ATTENTION, FEED_FORWARD, common_config, renamed, rope, whole_heads

BLOCK = {**ATTENTION, **FEED_FORWARD, "ffn_norm": "post_attention_layernorm"}


def halves_from_pairs(w, n_heads):
    """Rows of a q or k projection, from pairs (2i, 2i + 1) to halves (i, i + head_dim / 2).

    Rope turns channel pairs.  The weights that Meta published for Llama pair neighbours, 2i with
    2i + 1; transformers pairs i with i + head_dim / 2 (its rotate_half) and has its rows permuted to
    suit.  A GGUF of architecture "llama" has Meta's order: its converter permutes transformers' rows
    back (LlamaModel.permute in llama.cpp's converter), and the engine rotates neighbours
    ("norm" rope).  Other architectures, gemma3 and qwen among them, keep transformers' order and
    rotate halves ("neox" rope).
    """
    rows, columns = w.shape
    return w.reshape(n_heads, rows // n_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def llama(f):
    config = LlamaConfig(**whole_heads(f, common_config(f)), hidden_act="silu", attention_bias=False, mlp_bias=False,
                         rope_parameters=rope(f, 10000.0))
    tensors = f.tensors()
    for name, w in tensors.items():
        if name.endswith(".attn_q.weight"):
            tensors[name] = halves_from_pairs(w, config.num_attention_heads)
        elif name.endswith(".attn_k.weight"):
            tensors[name] = halves_from_pairs(w, config.num_key_value_heads)
    return LlamaForCausalLM, config, renamed(tensors, BLOCK)
