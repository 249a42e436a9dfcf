"""Training with emulated FP8: losses of each recipe, layouts, checkpoints, guard and refusals."""

from __future__ import annotations

import pytest
import torch

from conf.errors import SeedbedError
from conf.schema.fp8 import Fp8Config
from conf.schema.layout import ModelConfig
from megatron_train.fp8.linear import Fp8Linear


def emulated(recipe: str, **more) -> dict:
    return {
        "format": "hybrid" if recipe in ("tensorwise", "delayed") else "e4m3",
        "recipe": recipe,
        "emulate": True,
        **more,
    }


@pytest.fixture(scope="module")
def bf16(run_steps):
    return run_steps(1, steps=4, dtype="bf16")["losses"]


@pytest.mark.parametrize("recipe", ["tensorwise", pytest.param("mxfp8", marks=pytest.mark.slow)])
def test_a_recipe_trains_beside_bf16_and_not_as_bf16(bf16, run_steps, recipe):
    losses = run_steps(1, steps=4, dtype="bf16", fp8=emulated(recipe))["losses"]
    assert losses != bf16
    assert losses == pytest.approx(bf16, abs=2e-2)


@pytest.fixture(scope="module")
def delayed(run_steps, tmp_path_factory):
    """Four steps of the delayed recipe in one process, with the guard, and then a checkpoint."""
    folder = tmp_path_factory.mktemp("delayed") / "checkpoints"
    fp8 = emulated("delayed", history=4)
    return run_steps(1, steps=4, dtype="bf16", fp8=fp8, save=str(folder), guard=True), folder


def test_the_guard_sees_every_layer_and_changes_nothing(delayed, run_steps):
    plain = run_steps(1, steps=4, dtype="bf16", fp8=emulated("delayed", history=4))
    assert plain["losses"] == delayed[0]["losses"]
    assert set(delayed[0]["cosines"]) == {
        "embedding",
        "output_layer",
        "decoder",
        *(f"layers.{i}" for i in range(4)),
    }
    assert all(
        0.9 < value < 1
        for name, value in delayed[0]["cosines"].items()
        if name.startswith("layers")
    )


@pytest.mark.slow
def test_a_checkpoint_keeps_the_history_and_another_layout_takes_it_over(delayed, run_steps):
    fp8 = emulated("delayed", history=4)
    whole = run_steps(1, steps=6, dtype="bf16", fp8=fp8)["losses"]
    assert run_steps(1, steps=2, dtype="bf16", fp8=fp8, load=str(delayed[1]))["losses"] == whole[4:]
    four = run_steps(4, tp=2, pp=2, steps=2, dtype="bf16", fp8=fp8, load=str(delayed[1]))
    assert four["losses"] == pytest.approx(whole[4:], abs=2e-3)


@pytest.mark.slow
def test_bf16_ends_leave_the_first_and_last_layers_alone(run_steps):
    ends = emulated("tensorwise", bf16_ends=1)
    cosines = run_steps(1, steps=1, dtype="bf16", fp8=ends, guard=True)["cosines"]
    everywhere = run_steps(1, steps=1, dtype="bf16", fp8=emulated("tensorwise"), guard=True)[
        "cosines"
    ]
    assert cosines["layers.3"] > everywhere["layers.3"]


def test_a_delayed_recipe_scales_by_the_amax_of_earlier_steps():
    linear = Fp8Linear(
        Fp8Config(format="hybrid", recipe="delayed", emulate=True, history=2),
        torch.device("cpu"),
    )
    assert linear.scale.tolist() == [1, 1, 1]
    linear.set_history(torch.tensor([[2.0, 7.0], [0.5, 0.0], [0.0, 0.0]]))
    assert linear.scale.tolist() == [448 / 7, 448 / 0.5, 1]


def test_forward_and_backward_are_those_of_a_linear_layer_where_fp8_is_exact():
    generator = torch.Generator().manual_seed(0)
    x, weight, dy = (
        torch.randint(-4, 5, shape, generator=generator).float()
        for shape in ((6, 2, 32), (48, 32), (6, 2, 48))
    )
    linear = Fp8Linear(Fp8Config(format="e4m3", recipe="mxfp8", emulate=True), torch.device("cpu"))
    ours = [t.clone().requires_grad_() for t in (x, weight)]
    theirs = [t.clone().requires_grad_() for t in (x, weight)]
    y = linear(*ours, allreduce_dgrad=False, sequence_parallel=False, tp_group=None)
    want = torch.nn.functional.linear(*theirs)
    y.backward(dy)
    want.backward(dy)
    assert y.equal(want)
    assert all(a.grad.equal(b.grad) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("fp8", "said"),
    [
        ({"format": "bogus"}, "'bogus'"),
        ({"format": "hybrid", "recipe": "static"}, "'static'"),
        ({"emulate": True}, "mean nothing with fp8.format=none"),
        ({"format": "hybrid", "recipe": "tensorwise", "bf16_ends": 2}, "2 \\* 2 >= 4"),
        ({"format": "hybrid", "bf16_ends": 1}, "takes no bf16 layers"),
        ({"format": "hybrid", "history": 0}, "fp8.history=0"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_numbers(fp8, said):
    with pytest.raises(SeedbedError, match=said):
        Fp8Config(**fp8).check(ModelConfig(layers=4), "bf16")
