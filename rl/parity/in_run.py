"""The parity check inside a run: transformers, trainer and engine score the same tokens.

rl.check_parity asks the same of a folder before a run. Here the live trainer answers in its own
layout, at the start of the run and at each export.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from conf.errors import SeedbedError
from megatron_train.parallel.processes import on_main
from megatron_train.training.step import TrainState
from rl.parity import trainer
from rl.parity.reference import Reference, worst
from seedbed.inference import layer_outputs
from seedbed.inference.engine import AnyEngine


def check(
    state: TrainState,
    engine: AnyEngine | None,
    folder: Path,
    sequences: Sequence[Sequence[int]],
    limit: float,
) -> dict[str, float]:
    """The largest difference of trainer and engine from transformers; collective.

    All score `sequences` with the weights in `folder`. `engine` is needed on process 0 only.
    Returns {"trainer": ..., "engine": ...}, differences in a token's log-probability.

    Raises:
        SeedbedError: on every process, where a difference is above `limit`; it names the first
            layer whose output differs.
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
            f"log-probabilities differ from transformers' model of {folder} by more than "
            f"logprob_limit={limit:g}: {'; '.join(faults)}",
            "do not train on rollouts of this model here; look at the layer named, or at the "
            "weights given to it",
        )

    on_main(refuse)
    raise AssertionError("process 0 refused")


def _where(outputs: dict[str, Tensor], expected: dict[str, Tensor], dtype: str) -> str:
    if not outputs:
        return "a layer that context parallelism hides"
    return layer_outputs.first_difference(outputs, expected, layer_outputs.TOLERANCE[dtype])
