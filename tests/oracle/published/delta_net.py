"""Qwen3-Next and Qwen3.5: layers of Gated DeltaNet between layers of gated attention.

What converters do to these weights, and is undone here:
- RMSNorm multiplies by 1 + weight and files store the sum; but for the gated norm within DeltaNet (ssm_norm),
  which is plain in both.
- ssm_a is -exp(A_log).
- The convolution's kernel loses its middle dimension of 1.
- qwen3next: in_proj_qkvz comes grouped by key head, [q k v z] for each.  Files of today hold q, k, v of all heads as
  attn_qkv and z as attn_gate; the first files kept the published matrix as ssm_in.  in_proj_ba stays grouped.
- qwen35: value heads, published in groups by key head, are tiled: position r * n_key_heads + g in the file is
  published head g * (value heads of a key head) + r.
"""
import numpy as np
from transformers import (Qwen3_5ForCausalLM, Qwen3_5MoeForCausalLM, Qwen3_5MoeTextConfig, Qwen3_5TextConfig,
                          Qwen3NextConfig, Qwen3NextForCausalLM)

from .common import ATTENTION, FEED_FORWARD, HEAD_NORMS, common_config, renamed, rope
from .qwen import EXPERTS, expert_config, with_fused_experts

BLOCK = {
    **ATTENTION, **HEAD_NORMS, "post_attention_norm": "post_attention_layernorm",
    "ssm_conv1d": "linear_attn.conv1d", "ssm_dt.bias": "linear_attn.dt_bias", "ssm_a": "linear_attn.A_log",
    "ssm_norm": "linear_attn.norm", "ssm_out": "linear_attn.out_proj",
    "in_proj_qkvz": "linear_attn.in_proj_qkvz", "ssm_ba": "linear_attn.in_proj_ba",
    "attn_qkv": "linear_attn.in_proj_qkv", "attn_gate": "linear_attn.in_proj_z",
    "ssm_beta": "linear_attn.in_proj_b", "ssm_alpha": "linear_attn.in_proj_a",
}
SHARED_EXPERT = {
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate", "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj", "ffn_down_shexp": "mlp.shared_expert.down_proj",
}


class Heads:
    """The shape of a DeltaNet layer, as a file states it."""

    def __init__(self, f):
        self.n_key, self.n_value = f.own("ssm.group_count"), f.own("ssm.time_step_rank")
        self.key_dim = f.own("ssm.state_size")
        self.value_dim = f.own("ssm.inner_size") // self.n_value
        self.per_key = self.n_value // self.n_key
        self.conv = f.own("ssm.conv_kernel")

    def config(self):
        return dict(linear_num_key_heads=self.n_key, linear_num_value_heads=self.n_value,
                    linear_key_head_dim=self.key_dim, linear_value_head_dim=self.value_dim,
                    linear_conv_kernel_dim=self.conv)


def hybrid_config(f, heads):
    common = common_config(f)
    interval = f.own("full_attention_interval", 4)
    kinds = ["linear_attention" if (i + 1) % interval else "full_attention" for i in range(common["num_hidden_layers"])]
    part = f.own("rope.dimension_count") / common["head_dim"]
    return dict(**common, **heads.config(), layer_types=kinds, hidden_act="silu", attention_bias=False,
                rope_parameters={**rope(f, 1e7), "partial_rotary_factor": part}, partial_rotary_factor=part)


def own_tensors(f):
    """The file's tensors but those of blocks that predict further tokens (MTP), which the forward pass does not run."""
    n_layers = f.own("block_count") - f.own("nextn_predict_layers", 0)
    return {name: w for name, w in f.tensors().items()
            if not name.startswith("blk.") or int(name.split(".")[1]) < n_layers}


def as_published(tensors):
    for name, w in tensors.items():
        if name.endswith("_norm.weight") and not name.endswith(".ssm_norm.weight"):
            tensors[name] = w - np.float32(1)
        elif name.endswith(".ssm_a"):
            tensors[name] = np.log(-w)
        elif name.endswith(".ssm_conv1d.weight"):
            tensors[name] = w[:, None, :]
        elif name.endswith(".ffn_gate_inp_shexp.weight"):
            tensors[name] = w.reshape(1, -1)
    return tensors


# ------------------------------------------------------------------ qwen3next
def grouped_qkvz(qkv, z, heads):
    """Rows of all heads' q, k, v and of z, as [q k v z] by key head."""
    keys = heads.n_key * heads.key_dim

    def by_key_head(rows):
        return rows.reshape(heads.n_key, -1, rows.shape[-1])

    parts = [by_key_head(p) for p in (qkv[:keys], qkv[keys:2 * keys], qkv[2 * keys:], z)]
    return np.concatenate(parts, axis=1).reshape(-1, z.shape[-1])


def qwen3next(f):
    heads = Heads(f)
    config = Qwen3NextConfig(**hybrid_config(f, heads), **expert_config(f), norm_topk_prob=True,
                             shared_expert_intermediate_size=f.own("expert_shared_feed_forward_length"))
    tensors = with_fused_experts(as_published(own_tensors(f)))
    for i in range(config.num_hidden_layers):
        p = f"blk.{i}."
        if p + "ssm_in.weight" in tensors:
            tensors[p + "in_proj_qkvz.weight"] = tensors.pop(p + "ssm_in.weight")
        elif p + "attn_qkv.weight" in tensors:
            tensors[p + "in_proj_qkvz.weight"] = grouped_qkvz(tensors.pop(p + "attn_qkv.weight"),
                                                              tensors.pop(p + "attn_gate.weight"), heads)
    return Qwen3NextForCausalLM, config, renamed(tensors, {**BLOCK, **EXPERTS, **SHARED_EXPERT})


# ------------------------------------------------------------------ qwen35, qwen35moe
def grouped(w, heads, width, axis=0):
    """Value heads from tiled to grouped order, `width` entries of the axis to a head."""
    w = np.moveaxis(w, axis, 0)
    tiled = w.reshape(heads.per_key, heads.n_key, width, *w.shape[1:])
    return np.moveaxis(tiled.swapaxes(0, 1).reshape(w.shape), 0, axis)


def with_grouped_heads(tensors, heads):
    values = 2 * heads.n_key * heads.key_dim  # where v begins among the channels of q, k, v
    for name, w in tensors.items():
        part = name.split(".", 2)[-1]
        if part in ("attn_qkv.weight", "ssm_conv1d.weight"):
            tensors[name] = np.concatenate([w[:values], grouped(w[values:], heads, heads.value_dim)])
        elif part == "attn_gate.weight":
            tensors[name] = grouped(w, heads, heads.value_dim)
        elif part in ("ssm_alpha.weight", "ssm_beta.weight", "ssm_a", "ssm_dt.bias"):
            tensors[name] = grouped(w, heads, 1)
        elif part == "ssm_out.weight":
            tensors[name] = grouped(w, heads, heads.value_dim, axis=1)
    return tensors


def with_sections(config, f):
    """M-RoPE: which frequencies follow time, height and width.  In text the three positions are equal."""
    config["rope_parameters"] |= {"mrope_section": f.own("rope.dimension_sections")[:3], "mrope_interleaved": True}
    return config


def qwen35(f):
    heads = Heads(f)
    config = Qwen3_5TextConfig(**with_sections(hybrid_config(f, heads), f))
    tensors = with_grouped_heads(as_published(own_tensors(f)), heads)
    return Qwen3_5ForCausalLM, config, renamed(tensors, {**BLOCK, **FEED_FORWARD})


def qwen35moe(f):
    heads = Heads(f)
    common = with_sections(hybrid_config(f, heads), f)
    del common["intermediate_size"]
    config = Qwen3_5MoeTextConfig(**common, **expert_config(f),
                                  shared_expert_intermediate_size=f.own("expert_shared_feed_forward_length"))
    tensors = with_fused_experts(with_grouped_heads(as_published(own_tensors(f)), heads))
    return Qwen3_5MoeForCausalLM, config, renamed(tensors, {**BLOCK, **EXPERTS, **SHARED_EXPERT})
