"""Llama, SmolLM2, Mistral; and Mistral 3, whose queries have a temperature."""
from transformers import LlamaConfig, LlamaForCausalLM, Ministral3Config, Ministral3ForCausalLM

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
    return LlamaForCausalLM, config, weights(f, config)


def mistral3(f):
    positions = {**rope(f, 1e6), "llama_4_scaling_beta": f.own("attention.temperature_scale"),
                 "max_position_embeddings": f.own("context_length")}
    config = Ministral3Config(**whole_heads(f, common_config(f)), hidden_act="silu", sliding_window=None,
                              rope_parameters=positions)
    return Ministral3ForCausalLM, config, weights(f, config)


def weights(f, config):
    tensors = f.tensors()
    for name, w in tensors.items():
        if name.endswith(".attn_q.weight"):
            tensors[name] = halves_from_pairs(w, config.num_attention_heads)
        elif name.endswith(".attn_k.weight"):
            tensors[name] = halves_from_pairs(w, config.num_key_value_heads)
    return renamed(tensors, BLOCK)
