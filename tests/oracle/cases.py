"""What is recorded: of which models, at which positions, how much."""

QUESTION = "Write a Python function that adds two numbers."


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


def shape(arch, options, every=False):
    """A random float32 model of a shape of its own; every: at every position, few logits of each."""
    case = tiny(arch, "f32", *options.split())
    return {**case, "positions": EVERY, "top": 2, "sampled": 3} if every else {**case, "sampled": 4}


# Mixtures small enough that their float32 files stay at some megabytes.
FEW_EXPERTS = "--experts 8 --top-k 3 --expert-ff 64"
FEW_K = ["--experts", "8", "--top-k", "3"]  # experts 256 wide, for K formats

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
    # Positions scaled: 333 tokens of an original context of 64. Devstral's llama files say it so, with its bounds; then
    # magnitudes given, and bounds that leave no ramp within the head; then heads wider than the model, untied.
    "tiny-llama-f32-yarn": shape("llama", "--yarn 8 --yarn-log-multiplier 1 --yarn-beta-fast 4", every=True),
    "tiny-qwen2-f32": shape("qwen2", "", every=True),
    "tiny-qwen2-f32-h8-kv1-d32-untied": shape("qwen2", "--heads 8 --kv-heads 1 --head-dim 32 --no-tied"),
    "tiny-qwen2-f32-yarn": shape("qwen2", "--yarn 4 --yarn-attn-factor 0.9 --yarn-beta-fast 2 --yarn-beta-slow 0.5"),
    "tiny-qwen2-q8_0": tiny("qwen2", "q8_0"),
    "tiny-qwen2-q4_k_m": tiny("qwen2", "q4_k_m"),
    "tiny-qwen3-f32": shape("qwen3", "", every=True),
    "tiny-qwen3-f32-h4-kv4-d32": shape("qwen3", "--heads 4 --kv-heads 4 --head-dim 32"),
    "tiny-qwen3-f32-h4-kv1-d128-untied": shape("qwen3", "--heads 4 --kv-heads 1 --head-dim 128 --no-tied --layers 3"),
    "tiny-qwen3-f32-yarn": shape("qwen3", "--yarn 4"),
    "tiny-qwen3-q8_0": tiny("qwen3", "q8_0"),
    "tiny-qwen3-q4_k_m": tiny("qwen3", "q4_k_m"),
    "tiny-mistral3-f32": shape("mistral3", "", every=True),
    "tiny-qwen3moe-f32": shape("qwen3moe", FEW_EXPERTS, every=True),
    # Many small experts, all but one of them used.
    "tiny-qwen3moe-f32-e6-k5": shape("qwen3moe", "--layers 3 --experts 6 --top-k 5 --expert-ff 32 --tied"),
    "tiny-qwen3moe-q8_0": tiny("qwen3moe", "q8_0", *FEW_K),
    "tiny-qwen3moe-q4_k_m": tiny("qwen3moe", "q4_k_m", *FEW_K),
    "tiny-qwen3next-f32": shape("qwen3next", FEW_EXPERTS + " --shared-ff 64", every=True),
    # The first files' matrix; full attention in every second of five layers, the last being recurrent.
    "tiny-qwen3next-f32-ssm-in": shape("qwen3next", "--layers 5 --interval 2 --ssm-in "
                                       "--experts 4 --top-k 1 --expert-ff 32 --shared-ff 96"),
    # As many key heads as value heads, or one for all; experts' gate and up in one matrix; tied, and a block that
    # predicts further tokens.
    "tiny-qwen3next-f32-k4-v4": shape("qwen3next", "--layers 3 --interval 3 --key-heads 4 --value-heads 4 --state 32 "
                                      "--heads 8 --kv-heads 1 --head-dim 32 --rope-dim 32 --gate-up " + FEW_EXPERTS),
    "tiny-qwen3next-f32-k1-v4": shape("qwen3next", "--layers 2 --interval 2 --key-heads 1 --value-heads 4 --state 128 "
                                      "--heads 2 --kv-heads 2 --head-dim 128 --rope-dim 32 --tied --mtp 1 " + FEW_EXPERTS),
    # The number of key heads by layer, as some converters write it; llama.cpp does not load this one.
    "tiny-qwen3next-f32-kv-by-layer": shape("qwen3next", FEW_EXPERTS + " --shared-ff 64 --kv-by-layer"),
    "tiny-qwen3next-q8_0": tiny("qwen3next", "q8_0", *FEW_K),
    "tiny-qwen3next-q4_k_m": tiny("qwen3next", "q4_k_m", *FEW_K),
    "tiny-qwen35-f32": shape("qwen35", "", every=True),
    # Three value heads to a key head, full attention in every second of five layers; as many value heads as key heads.
    "tiny-qwen35-f32-k2-v6": shape("qwen35", "--layers 5 --interval 2 --key-heads 2 --value-heads 6 --state 32 --tied"),
    "tiny-qwen35-f32-k2-v2-mtp": shape("qwen35", "--layers 3 --interval 3 --value-heads 2 --heads 8 --kv-heads 1 "
                                       "--head-dim 32 --mtp 1"),
    "tiny-qwen35-q8_0": tiny("qwen35", "q8_0"),
    "tiny-qwen35-q4_k_m": tiny("qwen35", "q4_k_m"),
    "tiny-qwen35moe-f32": shape("qwen35moe", FEW_EXPERTS + " --shared-ff 64", every=True),
    "tiny-qwen35moe-f32-k1-v4": shape("qwen35moe", "--layers 4 --interval 2 --key-heads 1 --experts 12 --top-k 5 "
                                      "--expert-ff 32 --shared-ff 64 --gate-up --mtp 1"),
    "tiny-qwen35moe-q8_0": tiny("qwen35moe", "q8_0", *FEW_K),
    "tiny-qwen35moe-q4_k_m": tiny("qwen35moe", "q4_k_m", *FEW_K),
}
