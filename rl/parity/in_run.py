"""The log-prob contract inside a run: transformers, the trainer in its layout and the engine score
the same tokens.

rl.check_parity asks the same before a run, of a folder; here the live state answers, at its start
and at each export.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from conf.errors import SeedbedError
from megatron_train.parallel.processes import on_main
from megatron_train.training.step import TrainState
from rl.check_parity import Reference, worst
from rl.parity import trainer
from seedbed.inference import layer_outputs
from seedbed.inference.engine import AnyEngine


def hold(
    state: TrainState,
    engine: AnyEngine | None,
    folder: Path,
    sequences: Sequence[Sequence[int]],
    limit: float,
) -> dict[str, float]:
    """{"trainer": ..., "engine": ...}: the largest difference of each from transformers' model of
    `folder` in a token's log-probability. Collective; `engine` is needed on process 0. Raises
    SeedbedError on every process past `limit`, naming the first layer whose output differs.
    """
    ours = trainer.logprobs(state, sequences)

    def compare() -> dict[str, float]:
        assert engine is not None
        reference = Reference(folder, state.dtype)
        expected = [reference.logprobs(ids) for ids in sequences]
        return {
            "trainer": worst(ours, expected),
            "engine": worst(engine.score(sequences), expected),
        }

    found = on_main(compare)
    if all(difference <= limit for difference in found.values()):
        return found
    outputs = trainer.layer_outputs(state, sequences[0]) if state.layout.cp == 1 else {}

    def refuse() -> None:
        assert engine is not None
        file = folder.with_name("engine-layers.safetensors")
        theirs = engine.layers(sequences[0], file)
        file.unlink()
        expected = Reference(folder, state.dtype).layers(sequences[0][:-1])
        where = {
            "trainer": _where(outputs, expected, state.dtype),
            "engine": _where(theirs, expected, state.dtype),
        }
        faults = [
            f"{name} by {found[name]:.1e}, first in {where[name]}"
            for name in found
            if not found[name] <= limit
        ]
        raise SeedbedError(
            f"log-probabilities differ from transformers' model of {folder} by more than logprob_limit={limit:g}: "
            + "; ".join(faults),
            "do not train on rollouts of this model here; look at the layer named, or at the weights given to it",
        )

    on_main(refuse)
    raise AssertionError("process 0 refused")


def _where(outputs: dict[str, Tensor], expected: dict[str, Tensor], dtype: str) -> str:
    if not outputs:
        return "a layer that context parallelism hides"
    return layer_outputs.first_difference(outputs, expected, layer_outputs.TOLERANCE[dtype])
