"""A checkpoint of another run is refused."""

from __future__ import annotations

import pytest

from conf.errors import SeedbedError
from megatron_train.checkpoint import sharded


def test_a_checkpoint_of_another_architecture_is_refused_with_both_values():
    with pytest.raises(
        SeedbedError, match=r"step_7 holds another architecture .ffn: 64 there, 96 here."
    ):
        sharded._refuse_differences("step_7", {"ffn": 64, "layers": 2}, {"ffn": 96, "layers": 2})
    sharded._refuse_differences("step_7", {"ffn": 64}, {"ffn": 64})
