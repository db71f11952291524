"""Reference tokenizers of the `tokenizers` package, built from a GGUF file's own vocabulary and the
definitions that the model families publish in their tokenizer.json."""
from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_HAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_HAN]
DEEPSEEK_LLM_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7d"
    "ᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇ"
    "Ꞌ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")
DEEPSEEK_LLM = [r"[\r\n]", rf"\s?[{DEEPSEEK_LLM_LETTERS}]+", "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"\s+$", DEEPSEEK_HAN]


class Vocab:
    """What tokenizer.ggml.* of a file says."""

    def __init__(self, path):
        fields = GGUFReader(path).fields
        get = lambda key, default=None: fields["tokenizer.ggml." + key].contents() if "tokenizer.ggml." + key in fields else default
        self.model, self.pre = get("model"), get("pre", "default")
        self.tokens, self.types = get("tokens"), get("token_type")
        self.scores, self.merges = get("scores"), get("merges")
        self.unk = get("unknown_token_id")
        self.add_space_prefix = get("add_space_prefix", True)


def splitter(pre):
    isolated = lambda pattern: pre_tokenizers.Split(Regex(pattern), "isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = pre_tokenizers.Digits(individual_digits=True)
    steps = {
        "default": [gpt2], "gpt-2": [gpt2],
        "smollm": [digits, gpt2], "starcoder": [digits, gpt2], "refact": [digits, gpt2],
        "llama-bpe": [isolated(LLAMA3), bytes_only],
        "qwen2": [isolated(QWEN2), bytes_only],
        "qwen35": [isolated(QWEN35), bytes_only],
        "deepseek-coder": [*map(isolated, DEEPSEEK_CODER), digits, bytes_only],
        "deepseek-llm": [*map(isolated, DEEPSEEK_LLM), digits, bytes_only],
    }[pre]
    return pre_tokenizers.Sequence(steps)


def merges_of_scores(vocab):
    """A SentencePiece model's merges, in the order transformers derives them from the scores."""
    ids = {t: i for i, (t, ty) in enumerate(zip(vocab.tokens, vocab.types)) if ty in (NORMAL, USER_DEFINED)}
    merges = []
    for text, i in ids.items():
        local = [(text[:k], text[k:], vocab.scores[i]) for k in range(1, len(text)) if text[:k] in ids and text[k:] in ids]
        merges += sorted(local, key=lambda m: (ids[m[0]], ids[m[1]]))
    merges.sort(key=lambda m: (m[2], len(m[0]), len(m[1])), reverse=True)
    return [(a, b) for a, b, _ in merges]


def build(vocab, parse_special=False):
    """With parse_special, control tokens are found in the text; user-defined ones always are."""
    ids = {t: i for i, t in enumerate(vocab.tokens)}
    if vocab.model == "gpt2":
        merges = [tuple(m.split(" ", 1)) for m in vocab.merges]
        tok = Tokenizer(models.BPE(ids, merges, ignore_merges=vocab.pre == "llama-bpe"))
        tok.pre_tokenizer = splitter(vocab.pre)
        tok.decoder = decoders.ByteLevel()
        if vocab.pre in ("qwen2", "qwen35"):
            tok.normalizer = normalizers.NFC()
    else:
        tok = Tokenizer(models.BPE(ids, merges_of_scores(vocab), unk_token=vocab.tokens[vocab.unk], fuse_unk=True,
                                   byte_fallback=True))
        steps = [normalizers.Prepend("▁")] if vocab.add_space_prefix else []
        tok.normalizer = normalizers.Sequence(steps + [normalizers.Replace(" ", "▁")])
        tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    kinds = (CONTROL, UNKNOWN, USER_DEFINED) if parse_special else (USER_DEFINED,)
    tok.add_tokens([AddedToken(t, normalized=False) for t, ty in zip(vocab.tokens, vocab.types) if ty in kinds])
    return tok
