"""What most families share: the configuration's common part, rope, and names."""
import sys

# Names: GGUF's in a block -> transformers' in a layer.  Where the two disagree about a norm's name, the place
# in the block is what counts.  A name without ".weight" or ".bias" stands for both.
ATTENTION = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
}
HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
FEED_FORWARD = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
TOP_LEVEL = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
             "output.weight": "lm_head.weight"}


def published_name(name, block):
    if name in TOP_LEVEL:
        return TOP_LEVEL[name]
    head, _, rest = name.partition(".")
    layer, _, rest = rest.partition(".")
    if head == "blk" and rest in block:
        return f"model.layers.{layer}.{block[rest]}"
    suffix, _, kind = rest.rpartition(".")
    if head != "blk" or suffix not in block or kind not in ("weight", "bias"):
        sys.exit(f"The tensor {name} has no counterpart in the published model.")
    return f"model.layers.{layer}.{block[suffix]}.{kind}"


def renamed(tensors, block):
    return {published_name(name, block): w for name, w in tensors.items()}


def common_config(f):
    heads = f.own("attention.head_count")
    head_dim = f.own("attention.key_length", f.own("embedding_length") // heads)
    if f.own("attention.value_length", head_dim) != head_dim:
        sys.exit("transformers' models of these families have value heads as wide as key heads; this file has not.")
    # Where some layers keep no keys and values (recurrent ones) a file may say 0 for them.
    kv = f.own("attention.head_count_kv", heads)
    kv_heads = {kv} if isinstance(kv, int) else {n for n in kv if n != 0}
    if len(kv_heads) != 1:
        sys.exit(f"Layers differ in their numbers of key and value heads: {kv}.")
    return dict(
        vocab_size=f.n_vocab(),
        hidden_size=f.own("embedding_length"),
        intermediate_size=f.own("feed_forward_length", 0) or None,
        num_hidden_layers=f.own("block_count") - f.own("nextn_predict_layers", 0),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads.pop(),
        head_dim=head_dim,
        # Metadata holds float32: 1e-5 reads back as 9.99999975e-06, the number that C++ computes with too.
        rms_norm_eps=f.own("attention.layer_norm_rms_epsilon"),
        max_position_embeddings=f.own("context_length"),
        tie_word_embeddings=not f.has("output.weight"),
        bos_token_id=None, eos_token_id=None, pad_token_id=None,  # no token is special to a forward pass
        attention_dropout=0.0,
    )


def rope(f, default_theta):
    """transformers' rope_parameters from the file's keys."""
    theta = f.own("rope.freq_base", default_theta)
    kind = f.own("rope.scaling.type", "none")
    factor = f.own("rope.scaling.factor", 0.0)
    if kind == "none" or (kind == "linear" and factor in (0.0, 1.0)):
        return {"rope_type": "default", "rope_theta": theta}
    if kind == "linear":
        return {"rope_type": "linear", "rope_theta": theta, "factor": factor}
    if kind == "yarn":
        optional = {"attention_factor": "yarn_attn_factor", "beta_fast": "yarn_beta_fast", "beta_slow": "yarn_beta_slow"}
        yarn = {name: v for name, key in optional.items() if (v := f.own(f"rope.scaling.{key}", 0.0))}
        if all_dims := f.own("rope.scaling.yarn_log_multiplier", 0.0):
            yarn |= {"mscale": 1.0, "mscale_all_dim": all_dims}  # mscale is in no file, and 1 in every model that has it
        return {"rope_type": "yarn", "rope_theta": theta, "factor": factor, **yarn,
                "original_max_position_embeddings": f.own("rope.scaling.original_context_length")}
    sys.exit(f"Rope scaling of type {kind} is not handled here.")


def whole_heads(f, config):
    if f.own("rope.dimension_count", config["head_dim"]) != config["head_dim"]:
        sys.exit("This family rotates whole heads; this file rotates a part.")
    return config
