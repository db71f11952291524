"""GGUF files as the models that were published: Hugging Face transformers' classes with the file's weights.

Each module here is a family: it reads the configuration from the file's metadata and undoes what the
GGUF converter did to the weights.  Owns no tolerance and runs nothing: ../recording.py does.

common.py     names, configuration and rope that most families share
llama.py      llama, mistral3
gemma3.py
qwen.py       qwen2, qwen3, qwen3moe
delta_net.py  qwen3next, qwen35, qwen35moe
"""
import sys

import torch
from gguf_file import File

from .delta_net import qwen3next, qwen35, qwen35moe
from .gemma3 import gemma3
from .llama import llama, mistral3
from .qwen import qwen2, qwen3, qwen3moe

ARCHITECTURES = {"llama": llama, "mistral3": mistral3, "gemma3": gemma3, "qwen2": qwen2, "qwen3": qwen3, "qwen3moe": qwen3moe,
                 "qwen3next": qwen3next, "qwen35": qwen35, "qwen35moe": qwen35moe}


def load(path):
    """The published model with the file's weights, in float32."""
    f = File(path)
    if f.arch not in ARCHITECTURES:
        sys.exit(f"{path} is of architecture {f.arch}; known here: {', '.join(ARCHITECTURES)}.")
    model_class, config, weights = ARCHITECTURES[f.arch](f)
    # The published formulas written out: attention as scores, mask, softmax in float32, values; experts one by one.
    config._attn_implementation = config._experts_implementation = "eager"
    model = model_class(config).float().eval()
    state = {name: torch.tensor(w) for name, w in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    allowed = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if set(missing) - allowed or unexpected:
        sys.exit(f"{path}: no tensor for {sorted(set(missing) - allowed)}, no use for {unexpected}.")
    model.tie_weights()
    return model
