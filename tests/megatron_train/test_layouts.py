"""One model in many layouts has the same losses, log-probabilities and files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conf.loader import from_dict
from conf.schema.layout import ModelConfig
from megatron_train.checkpoint import hf_import
from megatron_train.checkpoint.step_folders import read_manifest
from megatron_train.export import from_checkpoint
from megatron_train.export.stored_tensors import StoredTensors
from tests.megatron_train.steps_worker import BATCH, SEQ, VOCAB

# Losses of steps_worker.py in one process, fp32. Another processor sums in another order, so they
# are equal to 1e-5 and not to the bit.
GOLDEN = [6.226828, 6.210737, 6.226427, 6.220450, 6.216082, 6.250936]
# Tolerance of one process against several. Single steps differ by the order of sums, and Adam's
# division spreads the difference.
TOLERANCE = 1e-5


def assert_close(ours: list[float], theirs: list[float], tolerance: float = TOLERANCE) -> None:
    assert len(ours) == len(theirs)
    worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    assert worst <= tolerance, f"losses differ by {worst:.2e}: {ours} {theirs}"


def assert_gradients_agree(ours: str, theirs: str) -> None:
    """Compare the gradients of the first step, each against the largest value of its tensor.

    No optimizer has touched them.
    """
    ours, theirs = load_file(ours), load_file(theirs)
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(
            ours[name], gradient, rtol=0, atol=1e-5 * gradient.abs().max().item(), msg=name
        )


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    """gradients(name) -> the file that a run writes its gradients to."""
    folder = tmp_path_factory.mktemp("gradients")
    return lambda name: str(folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def alone(run_steps, gradients):
    return run_steps(1, steps=6, gradients=gradients("alone"), documents=True)


@pytest.fixture(scope="module")
def four(run_steps, gradients, tmp_path_factory):
    """Four steps in TP 2 x PP 2, a checkpoint, an export and log-probabilities, in one launch."""
    folder = tmp_path_factory.mktemp("four")
    options = {"save": str(folder / "checkpoints"), "export": str(folder / "hf"), "logprobs": True}
    options["gradients"] = gradients("four")
    return run_steps(4, tp=2, pp=2, steps=4, **options), folder


def test_losses_are_the_golden_ones(alone):
    assert_close(alone["losses"], GOLDEN)


def test_a_document_in_a_masked_sequence_reads_as_it_does_alone(alone):
    """No token sees another document, and rotary positions are relative.

    So nothing has to be reset at a border.
    """
    company, by_itself = alone["documents"]
    assert company == pytest.approx(by_itself, abs=2e-5)


@pytest.fixture(scope="module")
def masked(run_steps, gradients):
    return run_steps(1, steps=3, blocked=True, gradients=gradients("masked"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "options"),
    [(1, {"recompute": "full"}), (4, {"cp": 2, "pp": 2, "vpp": 2, "recompute": "selective"})],
    ids=str,
)
def test_documents_are_told_apart_in_layers_that_compute_twice_or_elsewhere(
    masked, run_steps, gradients, processes, options
):
    """Borders are found once for each micro-batch, and several micro-batches are under way."""
    seen = run_steps(processes, steps=3, blocked=True, gradients=gradients("told"), **options)
    assert_close(seen["losses"], masked["losses"])
    assert_gradients_agree(gradients("told"), gradients("masked"))


@pytest.mark.slow
def test_rows_laid_end_to_end_are_the_masked_rows(masked, run_steps, gradients):
    """Transformer Engine's form, in two pipeline stages.

    The attention follows its definition.
    """
    packed = run_steps(
        2, steps=3, blocked=True, documents=True, packed=True, pp=2, gradients=gradients("packed")
    )
    assert_close(packed["losses"], masked["losses"])
    assert_gradients_agree(gradients("packed"), gradients("masked"))
    company, by_itself = packed["documents"]
    assert company == pytest.approx(by_itself, abs=2e-5)


def test_tensor_and_pipeline_parallel_losses_and_gradients_are_those_of_one_process(
    alone, four, gradients
):
    assert_close(four[0]["losses"], alone["losses"][:4])
    assert four[0]["grad_norms"] == pytest.approx(alone["grad_norms"][:4], rel=1e-4)
    assert_gradients_agree(gradients("four"), gradients("alone"))


def assert_counted_are_computed(seen: dict) -> None:
    """Log-probabilities where the mask is not 0 are those of whole rows, and 0 elsewhere."""
    every, counted, masks = (torch.tensor(seen[n]) for n in ("logprobs", "counted", "masks"))
    assert 0.2 < masks.float().mean() < 0.6
    assert not masks[-1].any()
    torch.testing.assert_close(counted, every * masks, rtol=0, atol=1e-6)


def test_log_probabilities_are_computed_where_the_mask_counts_and_nowhere_else(four):
    assert_counted_are_computed(four[0])


@pytest.mark.slow
@pytest.mark.parametrize("layout", [{"tp": 2, "sp": True}, {"cp": 2}], ids=str)
def test_counted_positions_of_a_cut_sequence_are_found_by_each_process(run_steps, layout):
    assert_counted_are_computed(run_steps(2, logprobs=True, **layout))


@pytest.mark.slow
def test_context_parallel_interleaved_overlapped_and_recomputed_it_is_still_one_process(
    alone, run_steps, gradients
):
    """All at once: what is wrong by itself is wrong here too, and the slow matrix tells which."""
    layout = {"cp": 2, "pp": 2, "vpp": 2, "overlap": True, "distopt": True, "recompute": "full"}
    seen = run_steps(4, steps=3, gradients=gradients("at_once"), logprobs=True, **layout)
    assert_close(seen["losses"], alone["losses"][:3])
    assert_gradients_agree(gradients("at_once"), gradients("alone"))
    # The processes hold whole sequences again.
    assert torch.tensor(seen["logprobs"]).shape == (BATCH // 2, 2, SEQ)


def test_a_checkpoint_of_four_processes_goes_on_in_one_and_not_with_a_flipped_bit(
    alone, four, run_steps, tmp_path
):
    flipped = tmp_path / "step_00000004"
    shutil.copytree(four[1] / "checkpoints" / "step_00000004", flipped)
    shard = sorted(flipped.glob("*.distcp"))[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    resumed = run_steps(1, load=str(four[1] / "checkpoints"), flipped=str(flipped), steps=2)
    assert shard.name in resumed["refused"]
    assert resumed["first"] == 4
    assert_close(resumed["losses"], alone["losses"][4:])


def test_the_checkpoint_says_what_it_is(four):
    manifest = json.loads((four[1] / "checkpoints" / "step_00000004" / "manifest.json").read_text())
    assert (four[1] / "checkpoints" / "latest").read_text() == "step_00000004\n"
    assert manifest["step"] == 4
    assert manifest["extra"] == {"note": "kept"}
    assert manifest["layout"]["tp"] == manifest["layout"]["pp"] == 2
    assert manifest["architecture"]["vocab_size"] == VOCAB


def worker_batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, VOCAB, (BATCH, SEQ + 1), generator=torch.Generator().manual_seed(0))
    return ids[:, :-1], ids[:, 1:]


def test_transformers_reads_the_export_and_agrees_on_every_log_probability(four):
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(four[1] / "hf", dtype=torch.float32)
    tokens, labels = worker_batch()
    with torch.no_grad():
        logits = model(tokens).logits
    # The padding of the vocabulary is not exported.
    assert logits.shape == (BATCH, SEQ, VOCAB)
    theirs = logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    ours = torch.tensor(four[0]["logprobs"]).flatten(0, 1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.slow
def test_a_checkpoint_read_tensor_by_tensor_is_the_live_export(four):
    _, folder = four
    found = read_manifest(folder / "checkpoints")
    shape = dict(found["architecture"])
    vocab_size, _ = shape.pop("vocab_size"), shape.pop("dtype")
    model = from_dict(ModelConfig, shape, "manifest.json")
    source = from_checkpoint.StoredModel(Path(found["folder"]), model, vocab_size)
    kept = StoredTensors(source.checkpoint)
    plan = from_checkpoint.planned(source, kept)
    live = dict(hf_import.stored(folder / "hf"))
    assert {one.name for one in plan} == live.keys()
    for one, tensor in zip(plan, from_checkpoint.part_of(source, kept, plan), strict=True):
        assert torch.equal(tensor, live[one.name]), one.name


def test_an_export_comes_back_through_another_layout(four, run_steps):
    back = run_steps(2, tp=2, **{"import": str(four[1] / "hf")}, logprobs=True)
    torch.testing.assert_close(
        torch.tensor(back["logprobs"]), torch.tensor(four[0]["logprobs"]), rtol=0, atol=2e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "options"),
    [
        (2, {}),
        (2, {"distopt": True}),
        (2, {"tp": 2, "sp": True}),
        pytest.param(4, {"tp": 2, "sp": True, "distopt": True}, marks=pytest.mark.nightly),
        pytest.param(2, {"pp": 2}, marks=pytest.mark.nightly),
        (2, {"pp": 2, "vpp": 2}),
        (2, {"cp": 2}),
        pytest.param(4, {"cp": 4}, marks=pytest.mark.nightly),
        (4, {"tp": 2, "sp": True, "cp": 2}),
        pytest.param(2, {"overlap": True}, marks=pytest.mark.nightly),
        (2, {"overlap": True, "distopt": True}),
        (4, {"pp": 2, "overlap": True, "distopt": True}),
        (1, {"recompute": "full"}),
        (1, {"recompute": "selective"}),
        (8, {"tp": 2, "pp": 2, "cp": 2, "sp": True, "distopt": True}),
    ],
    ids=lambda value: (
        ",".join(f"{k}{'' if v is True else v}" for k, v in value.items())
        if isinstance(value, dict)
        else ""
    ),
)
def test_every_layout_has_the_losses_and_gradients_of_one_process(
    alone, run_steps, gradients, processes, options
):
    file = gradients("-".join(f"{key}{value}" for key, value in options.items()))
    assert_close(
        run_steps(processes, steps=6, gradients=file, **options)["losses"], alone["losses"]
    )
    assert_gradients_agree(file, gradients("alone"))


@pytest.mark.slow
def test_uneven_stages_train_as_one_process_and_export_the_same_model(alone, run_steps, tmp_path):
    save = {"save": str(tmp_path / "checkpoints"), "export": str(tmp_path / "hf")}
    uneven = run_steps(2, pp=2, first=1, steps=4, **save)
    assert_close(uneven["losses"], alone["losses"][:4])
    resumed = run_steps(1, steps=2, load=save["save"])
    assert_close(resumed["losses"], alone["losses"][4:])
    back = run_steps(1, load=save["save"], export=str(tmp_path / "again"))
    assert back["first"] == 4
    same = [load_file(tmp_path / name / "model.safetensors") for name in ("hf", "again")]
    assert same[0].keys() == same[1].keys()
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])


@pytest.mark.slow
def test_processes_that_share_a_key_head_train_as_one(run_steps):
    model = {"kv_heads": 1}
    alone = run_steps(1, steps=4, model=model)
    shared = run_steps(2, tp=2, sp=True, steps=4, model=model)
    assert_close(shared["losses"], alone["losses"])


@pytest.mark.slow
def test_tied_embeddings_on_two_stages_train_as_one(run_steps, tmp_path):
    alone = run_steps(1, steps=4, tie=True)
    two = run_steps(2, pp=2, steps=4, tie=True, export=str(tmp_path / "hf"))
    assert_close(two["losses"], alone["losses"])
    back = run_steps(1, tie=True, logprobs=True, **{"import": str(tmp_path / "hf")})
    assert len(back["logprobs"]) == BATCH // 2


@pytest.mark.slow
def test_the_distributed_optimizer_goes_on_from_its_own_checkpoint_and_in_another_layout(
    alone, run_steps, tmp_path
):
    """megatron-core 0.19.2 leaves one `step` tensor for all parameters after a load."""
    run_steps(2, distopt=True, steps=4, save=str(tmp_path))
    layouts = [
        (2, {}),
        (4, {"tp": 2, "pp": 2}),
        (4, {"pp": 2, "vpp": 2, "cp": 2}),
        (2, {"tp": 2, "sp": True}),
    ]
    for processes, layout in layouts:
        resumed = run_steps(processes, distopt=True, steps=2, load=str(tmp_path), **layout)
        assert_close(resumed["losses"], alone["losses"][4:])


EXPERTS = {"family": "mixtral", "experts": {"number": 4, "top_k": 2, "aux_loss": 0.1}}


@pytest.mark.slow
@pytest.mark.parametrize(
    "distributed",
    [pytest.param(False, marks=pytest.mark.nightly), True],
    ids=["plain", "distributed"],
)
def test_experts_and_their_adam_state_go_on_in_other_layouts(run_steps, tmp_path, distributed):
    whole = run_steps(1, model=EXPERTS, steps=6)
    spread = run_steps(2, model=EXPERTS, ep=2, distopt=distributed, steps=4, save=str(tmp_path))
    assert_close(spread["losses"], whole["losses"][:4])
    for processes, layout in ((1, {}), (4, {"ep": 2, "pp": 2})):
        resumed = run_steps(
            processes, model=EXPERTS, distopt=distributed, steps=2, load=str(tmp_path), **layout
        )
        assert_close(resumed["losses"], whole["losses"][4:])


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("distributed", [False, True])
def test_adam_s_state_goes_from_either_kind_of_optimizer_to_the_other(
    run_steps, tmp_path, distributed
):
    whole = run_steps(2, distopt=distributed, steps=6)
    run_steps(2, distopt=distributed, steps=4, save=str(tmp_path))
    resumed = run_steps(2, distopt=not distributed, steps=2, load=str(tmp_path))
    assert resumed["losses"] == pytest.approx(whole["losses"][4:], abs=1e-6)


@pytest.mark.parametrize(("dtype", "distributed"), [("fp32", False), ("bf16", True)])
def test_on_one_process_the_other_kind_of_adam_goes_on_to_the_bit(
    run_steps, tmp_path, dtype, distributed
):
    whole = run_steps(1, distopt=distributed, steps=5, dtype=dtype)
    run_steps(1, distopt=distributed, steps=3, dtype=dtype, save=str(tmp_path))
    resumed = run_steps(1, distopt=not distributed, steps=2, dtype=dtype, load=str(tmp_path))
    assert resumed["losses"] == whole["losses"][3:]


@pytest.mark.nightly
@pytest.mark.slow
def test_a_checkpoint_of_a_context_parallel_interleaved_layout_goes_on_in_others(
    alone, run_steps, tmp_path
):
    run_steps(4, cp=2, pp=2, vpp=2, steps=4, save=str(tmp_path))
    for processes, layout in [
        (1, {}),
        (4, {"tp": 2, "cp": 2, "sp": True}),
        (2, {"overlap": True, "recompute": "full"}),
    ]:
        assert_close(
            run_steps(processes, steps=2, load=str(tmp_path), **layout)["losses"],
            alone["losses"][4:],
        )


@pytest.mark.slow
@pytest.mark.parametrize("background", [False, True])
def test_a_write_that_fails_loses_no_earlier_checkpoint(alone, run_steps, tmp_path, background):
    """A limit of 20 kB on files acts on a writer as a full disk does."""
    run_steps(2, pp=2, steps=4, save=str(tmp_path))
    failed = run_steps(
        2,
        pp=2,
        steps=1,
        load=str(tmp_path),
        save=str(tmp_path),
        file_limit=20_000,
        background=background,
    )
    assert "could not be written" in failed["problem"]
    assert "step_00000004, which is whole" in failed["problem"]
    assert (tmp_path / "latest").read_text() == "step_00000004\n"
    resumed = run_steps(
        2, pp=2, steps=2, load=str(tmp_path), save=str(tmp_path), background=background
    )
    assert_close(resumed["losses"], alone["losses"][4:])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "latest",
        "step_00000004",
        "step_00000006",
    ]


@pytest.mark.slow
def test_bf16_layouts_agree_to_bf16(run_steps):
    assert_close(
        run_steps(2, tp=2, steps=4, dtype="bf16")["losses"],
        run_steps(1, steps=4, dtype="bf16")["losses"],
        2e-3,
    )
