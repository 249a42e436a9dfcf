"""Every family gives transformers' logits, in every layout, and goes out as it came in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.megatron_train import tiny
from tests.megatron_train.families import folders
from tests.megatron_train.families.worker import sequences

WORKER = str(Path(__file__).with_name("worker.py"))
# fp32. Sums in another order stay below 1e-5.
LIMIT = 1e-4
# One of each form of a layer: biases, norms of heads, no gate, norms behind the layers.
FORMS = ("qwen2", "qwen3", "starcoder2", "olmo2", "olmo3")
EXPERTS = ("mixtral", "qwen3_moe")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module")
def run(root):
    """run(layout, names) -> the folder of what worker.py found."""

    def run(layout, names):
        for name in names:
            if not (root / name).exists():
                folders.write(root / name, name)
        out = root / f"out{len(list(root.iterdir()))}"
        of_stage = max(layout.get("tp", 1) * layout.get("cp", 1), layout.get("ep", 1))
        count = of_stage * layout.get("pp", 1)
        other = root / f"other-{names[0]}"
        if not other.exists():
            shutil.copytree(root / names[0], other)
            folders.edit(other, rms_norm_eps=0.7)
        given = [str(one) for one in (out, other, *(root / name for name in names))]
        said = tiny.launch(count, WORKER, *given, json.dumps(layout), timeout=900)
        # Every program that begins with such a folder says so.
        assert said.count("differ from transformers' by") == len(names)
        return out

    return run


@pytest.fixture(scope="module")
def alone(run):
    return run({}, list(folders.CASES))


@pytest.fixture(scope="module")
def cut(run):
    return run({"tp": 2}, FORMS)


@pytest.fixture(scope="module")
def spread(run):
    return run({"ep": 2}, EXPERTS)


def theirs(folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(sequences(folders.VOCAB)[:, :-1]).logits


def assert_same(root, out, name):
    logits, wanted = load_file(out / name / "logits.safetensors")["logits"], theirs(root / name)
    # The table of docs/models.md is made of these lines.
    print(f"{name}: logits differ by {(logits - wanted).abs().max():.1e}")
    torch.testing.assert_close(logits, wanted, rtol=0, atol=LIMIT)
    came, went = (load_file(one / "model.safetensors") for one in (root / name, out / name / "hf"))
    assert came.keys() == went.keys()
    assert all(torch.equal(came[key], went[key]) for key in came)


@pytest.mark.parametrize("name", folders.CASES)
def test_logits_are_transformers_and_the_export_is_the_import(root, alone, name):
    assert_same(root, alone, name)


@pytest.mark.parametrize(
    "name",
    [
        "llama-yarn-mscale",
        "llama-dynamic",
        "qwen2-window",
        "smollm3",
        "olmo3",
        "mixtral",
        "qwen3_moe-normalized",
    ],
)
def test_transformers_reads_the_exported_config_as_the_imported_one(root, alone, name):
    assert torch.equal(theirs(alone / name / "hf"), theirs(root / name))


@pytest.mark.parametrize("name", FORMS)
def test_tensor_parallel_logits_are_transformers(root, cut, name):
    assert_same(root, cut, name)


@pytest.mark.parametrize("name", EXPERTS)
def test_expert_parallel_logits_are_transformers(root, spread, name):
    assert_same(root, spread, name)


def test_weights_that_mean_something_else_are_refused_on_every_process(cut):
    """A base of rotary positions that is another in config.json than it was at the training."""
    said = [(cut / f"refused-{rank}").read_text() for rank in range(2)]
    assert all("differ from transformers' by" in one for one in said)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout",
    [{"tp": 2, "pp": 2, "sequence_parallel": True}, {"pp": 2, "vpp": 2}, {"cp": 2}],
    ids=str,
)
def test_every_layout_gives_the_logits_of_transformers(root, run, layout):
    out = run(layout, list(folders.CASES))
    for name in folders.CASES:
        assert_same(root, out, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout", [{"ep": 2, "pp": 2}, {"tp": 2, "sequence_parallel": True, "ep": 2}], ids=str
)
def test_every_layout_of_experts_gives_the_logits_of_transformers(root, run, layout):
    out = run(layout, EXPERTS)
    for name in EXPERTS:
        assert_same(root, out, name)


# Heads of 32, the fewest that vLLM takes on CPUs.
WIDE = {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
# fp32 on both sides; vLLM's attention on CPUs sums in blocks.
VLLM_LIMIT = 1e-3
SERVED = ("llama-linear", "llama-llama3", "llama-yarn", *FORMS, "mistral", "smollm3", *EXPERTS)


@pytest.mark.slow
def test_vllm_gives_the_log_probabilities_of_the_exported_folders(tmp_path):
    given = [str(folders.write(tmp_path / name, name, **WIDE)) for name in SERVED]
    out = tmp_path / "out"
    tiny.launch(1, WORKER, str(out), given[0], *given, "{}", timeout=900)
    ids = sequences(folders.VOCAB)[:, :-1]
    (tmp_path / "ids.json").write_text(json.dumps(ids.tolist()))
    seen = tmp_path / "vllm.json"
    exported = [str(out / name / "hf") for name in SERVED]
    script = str(Path(__file__).with_name("vllm_worker.py"))
    tiny.launch(1, script, str(seen), str(tmp_path / "ids.json"), *exported, timeout=1800)
    theirs_by_folder = json.loads(seen.read_text())
    apart = {}
    for name, folder in zip(SERVED, exported, strict=True):
        logits = load_file(out / name / "logits.safetensors")["logits"][:, :-1]
        ours = torch.log_softmax(logits, -1).gather(-1, ids[:, 1:, None])[..., 0]
        apart[name] = (ours - torch.tensor(theirs_by_folder[folder])).abs().max().item()
    print(apart)
    assert all(difference <= VLLM_LIMIT for difference in apart.values()), apart
