"""Vocabularies as their authors publish them, written as GGUF files that hold nothing else, and the
published way to encode with a list of ranks. Used where no package carries a GGUF with the vocabulary."""
import base64
import json

import gguf
from tokenizers import Regex, pre_tokenizers

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
TEKKEN_SPECIALS = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
                   "[/TOOL_RESULTS]", "[TOOL_CALLS]", "<pad>", "[PREFIX]", "[MIDDLE]", "[SUFFIX]"]


def byte_characters():
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = iter(range(256, 512))
    return [chr(b if b in visible else next(hidden)) for b in range(256)]


def write(path, pre, tokens, types, merges, **ids):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([t.encode() for t in tokens])
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    for name, i in ids.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", i)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write_tokenizer_json(path, pre, source):
    """A byte-level BPE tokenizer.json."""
    source = json.loads(source.read_text("utf-8"))
    known = {i: (t, NORMAL) for t, i in source["model"]["vocab"].items()}
    known |= {a["id"]: (a["content"], CONTROL if a["special"] else USER_DEFINED) for a in source["added_tokens"]}
    texts, types = zip(*(known.get(i, (f"[PAD{i}]", UNUSED)) for i in range(max(known) + 1)))
    merges = [m if isinstance(m, str) else " ".join(m) for m in source["model"]["merges"]]
    write(path, pre, texts, types, merges)


def read_tekken(path):
    """(pattern, byte strings in the order of their ranks) of Mistral's tekken.json."""
    source = json.loads(path.read_text("utf-8"))
    config = source["config"]
    n = config["default_vocab_size"] - config["default_num_special_tokens"]
    return config["pattern"], [base64.b64decode(t["token_bytes"]) for t in source["vocab"][:n]]


def read_tiktoken(path):
    """Byte strings in the order of their ranks."""
    lines = [line.split() for line in path.read_bytes().splitlines() if line]
    assert [int(rank) for _, rank in lines] == list(range(len(lines)))
    return [base64.b64decode(token) for token, _ in lines]


def write_ranks(path, pre, ranks, first_id, specials):
    """Ranks as merges: every way to put a token together from two others, in the order of the tokens. specials:
    {id: text}; ids that nobody has are unused."""
    characters = byte_characters()
    spelled = {t: "".join(characters[b] for b in t) for t in ranks}
    rank_of = {t: i for i, t in enumerate(ranks)}
    merges = []
    for token in ranks:
        pairs = [(token[:k], token[k:]) for k in range(1, len(token)) if token[:k] in rank_of and token[k:] in rank_of]
        pairs.sort(key=lambda pair: (rank_of[pair[0]], rank_of[pair[1]]))
        merges += [f"{spelled[a]} {spelled[b]}" for a, b in pairs]
    known = {first_id + i: (spelled[t], NORMAL) for i, t in enumerate(ranks)}
    known |= {i: (t, CONTROL) for i, t in specials.items()}
    texts, types = zip(*(known.get(i, (f"[PAD{i}]", UNUSED)) for i in range(max(known) + 1)))
    write(path, pre, texts, types, merges)


class RankEncoder:
    """What ranks mean: in each word the two neighbours that make the token of the lowest rank are joined, until
    none make one. A word that is a token is that."""

    def __init__(self, pattern, ranks, first_id):
        self.split = pre_tokenizers.Split(Regex(pattern), "isolated")
        self.rank_of = {t: i for i, t in enumerate(ranks)}
        self.first_id = first_id

    def encode(self, text):
        ids = []
        for word, _ in self.split.pre_tokenize_str(text) if text else []:
            word = word.encode()
            parts = [word] if word in self.rank_of else [bytes([b]) for b in word]
            while len(parts) > 1:
                rank, i = min((self.rank_of.get(a + b, len(self.rank_of)), i) for i, (a, b) in enumerate(zip(parts, parts[1:])))
                if rank == len(self.rank_of):
                    break
                parts[i:i + 2] = [parts[i] + parts[i + 1]]
            ids += [self.first_id + self.rank_of[p] for p in parts]
        return ids
