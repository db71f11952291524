"""Tests of make_models.py: same arguments, same bytes; files that the gguf package reads."""

import hashlib

import gguf
import make_models
import numpy as np
import pytest
from random_models.container import TYPES
from random_models.shapes import ARCHITECTURES, dimensions, tensors

# One of the golden logits' models: if these bytes change, so do the logits of tests/oracle.
TINY_LLAMA_SHA256 = "c14b042e412a15f1ce85af178a48e031e2b0a25f247996cd186e635f87bf6ec6"


def make(path, *arguments):
    assert make_models.main([*arguments, "--out", str(path)]) == 0
    return path


def test_same_arguments_same_bytes(tmp_path):
    first = make(tmp_path / "a.gguf", "--arch", "llama").read_bytes()
    assert make(tmp_path / "b.gguf", "--arch", "llama").read_bytes() == first
    assert make(tmp_path / "c.gguf", "--arch", "llama", "--seed", "2").read_bytes() != first
    assert hashlib.sha256(first).hexdigest() == TINY_LLAMA_SHA256


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_gguf_package_reads_it(tmp_path, arch):
    reader = gguf.GGUFReader(make(tmp_path / "m.gguf", "--arch", arch))
    d = dimensions(arch, "tiny")
    expected = {name: tuple(reversed(shape)) for name, shape, _ in tensors(arch, d)}
    values = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    assert {name: v.shape for name, v in values.items()} == expected
    assert all(np.isfinite(v).all() for v in values.values())
    assert reader.fields[f"{arch}.block_count"].contents() == d["layers"]
    assert len(reader.fields["tokenizer.ggml.tokens"].data) == d["vocab"]


@pytest.mark.parametrize("ftype", ["f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k_m", "q5_k_m", "q6_k"])
def test_deviation_keeps_variance(tmp_path, ftype):
    """Every type's weights have the same mean and deviation, so no layer explodes or dies."""
    reader = gguf.GGUFReader(make(tmp_path / "m.gguf", "--arch", "llama", "--ftype", ftype))
    weight = next(t for t in reader.tensors if t.name == "blk.0.ffn_up.weight")
    values = gguf.quants.dequantize(weight.data, weight.tensor_type)
    assert abs(values.std() * np.sqrt(values.shape[1]) - 1) < 0.06
    assert abs(values.mean()) * np.sqrt(values.shape[1]) < 0.06
    wanted = {"q4_k_m": "q4_k", "q5_k_m": "q5_k"}.get(ftype, ftype)
    assert weight.tensor_type.value == TYPES[wanted][0]


def test_meta_only_is_sparse(tmp_path):
    path = make(tmp_path / "m.gguf", "--arch", "llama", "--preset", "slice", "--meta-only")
    assert path.stat().st_size > 20_000_000
    assert path.stat().st_blocks * 512 < 10_000_000


@pytest.mark.parametrize("arguments", [
    ["--arch", "llama", "--heads", "3", "--kv-heads", "2"],
    ["--arch", "llama", "--layers", "0"],
    ["--arch", "llama", "--size", "0.6b"],
    ["--arch", "llama", "--seed", "-1"],
    ["--arch", "mamba"],
    ["--arch", "llama", "--experts", "4"],
    ["--arch", "qwen35", "--ssm-in"],
    ["--arch", "qwen3next", "--key-heads", "3"],
    ["--arch", "qwen3moe", "--top-k", "17"],
])
def test_impossible_arguments_are_refused(tmp_path, arguments):
    with pytest.raises(SystemExit) as end:
        make_models.main([*arguments, "--out", str(tmp_path / "m.gguf")])
    assert end.value.code == 2


def test_unwritable_place_is_an_error(tmp_path, capsys):
    assert make_models.main(["--arch", "llama", "--out", str(tmp_path / "no" / "m.gguf")]) == 1
    assert "make_models:" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
