"""Weights of a Hugging Face folder, and the proof that they mean here what they mean there.

Every program that starts from such a folder goes through `begin_from`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from conf.errors import SeedbedError
from conf.schema.layout import ModelConfig
from megatron_train.checkpoint.hf_config import model_config
from megatron_train.checkpoint.hf_import import load_weights
from megatron_train.fp8.policy import NoFp8
from megatron_train.model.gpt import set_positions
from megatron_train.parallel import processes
from megatron_train.training.state import TrainState
from megatron_train.training.step import token_logprobs

# Tokens that both score. They are few, so that a model of 8B takes well under a minute.
TOKENS = 32
# Process 0 reads the whole folder once more, layer by layer: at 20B parameters in bf16 40 GB.
MOST_PARAMETERS = 20_000_000_000
# Largest mean difference of a log-probability. In fp32 sums in another order stay near 1e-6, and
# bf16 rounds to 8 bits in every layer; a wrong setting is off by several whole numbers.
LIMIT = {"fp32": 1e-3, "bf16": 0.15}


def begin_from(state: TrainState, folder: Path) -> None:
    """Load a folder's weights, and compare a few log-probabilities with transformers'; collective.

    Process 0 says what was found, or why nothing was compared.

    Raises:
        SeedbedError: on every process, where they differ.
    """
    load_weights(state, folder)
    unasked = _reason_not_to_ask(state)
    if unasked:
        _say(f"{folder} was not compared with transformers before the first step: {unasked}")
        return
    ids = _tokens(state)
    theirs, _ = model_config(folder, state.model.seq_length)
    with _positions_of(theirs, state):
        ours = _logprobs(state, ids)

    def compare() -> tuple[float, float]:
        # transformers takes seconds to import.
        from megatron_train.checkpoint.hf_reference import reference_logprobs

        apart = (ours - reference_logprobs(folder, ids)).abs()
        return apart.mean().item(), apart.max().item()

    mean, most = processes.on_main(compare)
    # A NaN is not within the limit.
    if not mean <= LIMIT[state.dtype]:
        raise SeedbedError(
            f"log-probabilities of {folder} differ from transformers' by {mean:.2g} on average "
            f"(at most {most:.2g}) over {len(ids) - 1} tokens; {LIMIT[state.dtype]:g} is allowed "
            f"in {state.dtype}",
            "do not train on it: python -m rl.check_parity names the first layer that differs",
        )
    _say(
        f"{folder}: log-probabilities of {len(ids) - 1} tokens differ from transformers' by "
        f"{most:.1e} at most"
    )


@contextmanager
def _positions_of(model: ModelConfig, state: TrainState) -> Iterator[None]:
    """Rotary positions as the folder has them, where the run gives them another base or scaling."""
    moved = (model.rope_base, model.rope) != (state.model.rope_base, state.model.rope)
    if moved:
        for chunk in state.chunks:
            set_positions(chunk, model)
    yield
    if moved:
        for chunk in state.chunks:
            set_positions(chunk, state.model)


def _logprobs(state: TrainState, ids: torch.Tensor) -> torch.Tensor:
    """log p of each token but the first, fp32 [n - 1]; collective."""
    batch = {"tokens": ids[None, :-1].contiguous(), "labels": ids[None, 1:].contiguous()}
    # An interleaved pipeline takes as many micro-batches as it has stages.
    copies = state.layout.pp if state.layout.vpp > 1 else 1
    return token_logprobs(state, [batch] * copies)[0][0].cpu()


def _reason_not_to_ask(state: TrainState) -> str:
    parameters = state.model.parameters(state.vocab_size)
    if parameters > MOST_PARAMETERS:
        return f"{parameters / 1e9:.1f}B parameters are more than {MOST_PARAMETERS / 1e9:.0f}B"
    if type(state.fp8) is not NoFp8:
        return "fp8 computes something else on purpose"
    return ""


def _tokens(state: TrainState) -> torch.Tensor:
    """The ids that both score, always the same; the sequence divides as the layout needs it."""
    multiple = state.layout.sequence_multiple()
    length = min(-(-TOKENS // multiple), max(state.model.seq_length // multiple, 1)) * multiple
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, state.vocab_size, (length + 1,), generator=generator)


def _say(line: str) -> None:
    if processes.is_main():
        print(line, flush=True)
