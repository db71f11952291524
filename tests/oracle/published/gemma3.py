"""Gemma 3, text."""
import numpy as np
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from .common import ATTENTION, FEED_FORWARD, HEAD_NORMS, common_config, renamed, rope, whole_heads

# "ffn_norm" stands before the feed-forward, "post_attention_norm" after attention and before the residual is added.
BLOCK = {
    **ATTENTION, **HEAD_NORMS, **FEED_FORWARD, "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
}


def gemma3(f):
    common = whole_heads(f, common_config(f))
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
        rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                         "full_attention": rope(f, 1e6)},
        # Scores are divided by sqrt(query_pre_attn_scalar).  Not in the file: head_dim in all published
        # sizes but 27B (62 layers), where it is hidden_size / heads.
        query_pre_attn_scalar=(common["hidden_size"] // common["num_attention_heads"] if n_layers == 62
                               else common["head_dim"]),
        final_logit_softcapping=None, attn_logit_softcapping=None, use_bidirectional_attention=False)
    # transformers multiplies embeddings by sqrt(hidden_size) itself, rounded to the weights' type:
    # here float32.  (Google's bfloat16 run rounds it to bfloat16; llama.cpp, as here, does not.)
    tensors = f.tensors()
    for name, w in tensors.items():
        if name.endswith("_norm.weight"):
            # gemma's norm multiplies by 1 + weight, and the converter stores the sum.  transformers adds
            # the 1 again: that costs at most half a unit of 2^-24 of the gain.
            tensors[name] = w - np.float32(1)
    return Gemma3ForCausalLM, config, renamed(tensors, BLOCK)
