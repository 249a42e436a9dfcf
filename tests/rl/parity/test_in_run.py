"""The parity check inside a run, of a live trainer in two pipeline stages.

A fault is named by its layer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from conf.errors import SeedbedError
from conf.schema.pretrain import OptimConfig, ParallelConfig
from megatron_train.checkpoint import hf_config, hf_import
from megatron_train.model.weights import local_parameters
from megatron_train.parallel import processes
from megatron_train.training.step import build
from rl.parity import in_run
from rl.parity.reference import Reference
from seedbed.inference.engine import AnyEngine
from tests.rl.test_training import torchrun
from tests.tiny_model import write_model

SEQUENCES = [[5, 9, 13, 40, 41, 42, 200], [7, 8, 9, 10]]


class EngineOf(AnyEngine):
    """An engine that is transformers' model of a folder, whose output layer can be off."""

    def __init__(self, folder: Path, off: float):
        self._folder, self._off = folder, off

    def score(self, sequences):
        reference = Reference(self._folder, "fp32")
        return [[value + self._off for value in reference.logprobs(ids)] for ids in sequences]

    def layers(self, sequence, file):
        file.touch()
        return Reference(self._folder, "fp32").layers(sequence[:-1])

    def generate(self, *_): ...
    def call(self, *_): ...
    def forget(self): ...


def main(argv: list[str]) -> int:
    """One process of two, under torchrun.

    It records what the check says of a sound state, an engine that is off and a changed layer.
    """
    folder = Path(argv[0])
    processes.start(ParallelConfig(pp=2), seed=1)
    model, vocab_size = hf_config.model_config(folder)
    state = build(model, vocab_size, ParallelConfig(pp=2), OptimConfig(), "fp32", seed=1)
    hf_import.load_weights(state, folder)
    said = []
    for off, changed in ((0.0, False), (0.5, False), (0.0, True)):
        if changed:
            for name, weight in local_parameters(state.chunks).items():
                if name.startswith("decoder.layers.1.") and name.endswith("fc2.weight"):
                    weight.data *= 1.5
        try:
            said.append(in_run.check(state, EngineOf(folder, off), folder, SEQUENCES, 1e-3))
        except SeedbedError as error:
            said.append(error.problem)
    (folder.parent / f"said-{processes.rank()}.json").write_text(json.dumps(said))
    processes.stop()
    return 0


@pytest.mark.slow
def test_a_fault_of_trainer_or_engine_is_named_by_its_layer_on_every_process(tmp_path):
    folder = write_model(tmp_path / "hf")
    torchrun("tests.rl.parity.test_in_run", str(folder))
    said = [json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1)]
    assert said[0] == said[1]
    sound, engine, trainer = said[0]
    assert max(sound.values()) < 1e-4
    assert engine.endswith(
        "engine by 5.0e-01, first in the output layer (every layer before it agrees)"
    )
    assert "trainer by" in trainer
    assert "engine by" not in trainer
    assert "first in layer 2 (relative difference" in trainer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
