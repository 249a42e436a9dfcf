"""muP: its factors, and activations whose updates have one size at every width."""

from __future__ import annotations

import pytest
import torch

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.layout import ModelConfig
from conf.schema.mup import MupConfig
from conf.schema.pretrain import OptimConfig, PretrainConfig
from megatron_train.model.gpt import unwrap
from megatron_train.parallel import processes
from megatron_train.training import mup, step
from megatron_train.training.losses import language_model_loss

WIDTHS = (64, 128, 256, 512)
QKV = "decoder.layers.1.self_attention.linear_qkv"


def test_the_factors_are_those_of_the_table():
    factors = [(mup.deviation, "d"), (mup.rate, "r"), (mup.epsilon, "e")]
    for name, wanted in (
        ("embedding.word_embeddings.weight", (1, 1, 1)),
        (f"{QKV}.layer_norm_weight", (1, 1, 1)),
        (f"{QKV}.bias", (1, 1, 1)),
        (f"{QKV}.weight", (0.5, 0.25, 0.25)),
        ("decoder.layers.0.mlp.linear_fc2.weight", (0.5, 0.25, 0.25)),
        ("output_layer.weight", (0.25, 0.25, 1)),
    ):
        assert tuple(factor(name, 4.0) for factor, _ in factors) == wanted, name


def config(hidden: int, base: int) -> PretrainConfig:
    model = ModelConfig(
        layers=2, hidden=hidden, ffn=2 * hidden, heads=hidden // 16, kv_heads=hidden // 16,
        seq_length=32,
    )  # fmt: skip
    scaled = MupConfig(base_hidden=base, base_head_size=16 if base else 0)
    return PretrainConfig(model=model, mup=scaled, optim=OptimConfig(weight_decay=0.0))


def updates(hidden: int, base: int) -> dict[str, float]:
    """Mean |change| of each coordinate of some activations, over five steps on one batch."""
    state = step.build_from(config(hidden, base), 384)
    ids = torch.randint(0, 384, (4, 33), generator=torch.Generator().manual_seed(1))
    batch = {"tokens": ids[:, :-1], "labels": ids[:, 1:], "loss_mask": torch.ones(4, 32)}
    batch = {key: value.contiguous() for key, value in batch.items()}
    seen: dict[str, torch.Tensor] = {}
    [chunk] = state.chunks
    model = unwrap(chunk)

    def keep(name: str):
        def hook(_, __, output):
            seen[name] = (output[0] if isinstance(output, tuple) else output).detach().clone()

        return hook

    places = {
        "attention": model.decoder.layers[1].self_attention.linear_proj,
        "mlp": model.decoder.layers[1].mlp.linear_fc2,
        "logits": model.output_layer,
    }
    for name, module in places.items():
        module.register_forward_hook(keep(name))
    step.eval_loss(state, [batch], language_model_loss)
    before = dict(seen)
    for _ in range(5):
        step.train_step(state, [batch], language_model_loss, lr=3e-3)
    step.eval_loss(state, [batch], language_model_loss)
    return {name: float((seen[name] - before[name]).abs().mean()) for name in places}


@pytest.fixture(scope="module")
def started():
    processes.start(config(64, 0).parallel, 1)
    yield
    processes.stop()


def spread(base: int) -> dict[str, float]:
    """Largest over smallest update among the widths."""
    found = [updates(hidden, base) for hidden in WIDTHS]
    print(base, found)
    return {name: max(f[name] for f in found) / min(f[name] for f in found) for name in found[0]}


def test_updates_have_one_size_at_every_width(started):
    with_mup = spread(64)
    assert max(with_mup.values()) < 2.0, with_mup


def test_without_mup_they_grow_with_the_width(started):
    without = spread(0)
    assert min(without.values()) > 2.5, without


def test_at_the_base_width_nothing_changes(started):
    assert updates(64, 64) == updates(64, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mup.base_hidden=64"], "muP needs both"),
        (["mup.base_hidden=64", "mup.base_head_size=16"], "this model's heads have 32"),
        (
            ["mup.base_hidden=64", "mup.base_head_size=32", "model.tie_embeddings=true"],
            "rates of their own",
        ),
        (["mup.base_hidden=64", "mup.base_head_size=32", "optim.name=muon"], "its table is Adam's"),
    ],
)
def test_what_mup_cannot_do_is_refused(words, said):
    with pytest.raises(SeedbedError, match=said):
        load(PretrainConfig, None, words)
