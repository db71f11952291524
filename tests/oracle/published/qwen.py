"""Qwen2, Qwen3 and Qwen3's mixture of experts.  Converters change nothing in their weights but stack the experts."""
import re

import numpy as np
from transformers import (Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig,
                          Qwen3MoeForCausalLM)

from .common import ATTENTION, FEED_FORWARD, HEAD_NORMS, common_config, renamed, rope, whole_heads

DENSE = {**ATTENTION, **FEED_FORWARD, "ffn_norm": "post_attention_layernorm"}
EXPERTS = {"ffn_gate_inp": "mlp.gate", "ffn_gate_up_exps.weight": "mlp.experts.gate_up_proj",
           "ffn_down_exps.weight": "mlp.experts.down_proj"}


def qwen2(f):
    config = Qwen2Config(**whole_heads(f, common_config(f)), hidden_act="silu", use_sliding_window=False,
                         rope_parameters=rope(f, 10000.0))
    return Qwen2ForCausalLM, config, renamed(f.tensors(), DENSE)


def qwen3(f):
    config = Qwen3Config(**whole_heads(f, common_config(f)), hidden_act="silu", use_sliding_window=False,
                         attention_bias=False, rope_parameters=rope(f, 10000.0))
    return Qwen3ForCausalLM, config, renamed(f.tensors(), {**DENSE, **HEAD_NORMS})


def qwen3moe(f):
    config = Qwen3MoeConfig(**whole_heads(f, common_config(f)), **expert_config(f), hidden_act="silu",
                            use_sliding_window=False, attention_bias=False, rope_parameters=rope(f, 10000.0),
                            # Not in the file; true in every published model of this architecture.
                            norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])
    names = {**ATTENTION, **HEAD_NORMS, **EXPERTS, "ffn_norm": "post_attention_layernorm"}
    return Qwen3MoeForCausalLM, config, renamed(with_fused_experts(f.tensors()), names)


def expert_config(f):
    return dict(num_experts=f.own("expert_count"), num_experts_per_tok=f.own("expert_used_count"),
                moe_intermediate_size=f.own("expert_feed_forward_length"))


def with_fused_experts(tensors):
    """transformers holds an expert's gate and up projections as one matrix, gate first; files hold two, or the same."""
    for name in [n for n in tensors if n.endswith(".ffn_gate_exps.weight")]:
        up = re.sub("_gate_", "_up_", name)
        fused = re.sub("_gate_", "_gate_up_", name)
        tensors[fused] = np.concatenate([tensors.pop(name), tensors.pop(up)], axis=1)
    return tensors
