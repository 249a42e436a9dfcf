"""What of the order of samples may change on resuming, and what not."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.errors import SeedbedError
from megatron_train.data import segments
from megatron_train.training.resume import _changes, _go_on_behind, checkpoint_facts
from tests.megatron_train.data.test_segments import begun, blend_of, config

THEN = {"tokens": "ab", "model.seq_length": 64, "seed": 1, "batch.total": 8}


def changes(accepted: list[str], **now) -> list[str]:
    return _changes(Path("step_6"), THEN, {**THEN, **now}, accepted)


def test_nothing_changed_is_nothing_to_accept():
    assert changes(["batch"]) == changes([]) == []


def test_what_is_accepted_is_said():
    assert changes(["batch"], **{"batch.total": 4}) == ["batch.total: 8 then, 4 now"]
    assert changes(["batch"], **{"batch.ramp": {"start": 2}}) == [
        "batch.ramp: None then, {'start': 2} now"
    ]
    assert changes(["data.blend", "batch"], tokens="cd", **{"batch.total": 4}) == [
        "tokens: ab then, cd now",
        "batch.total: 8 then, 4 now",
    ]


@pytest.mark.parametrize(
    ("accepted", "now", "fix"),
    [
        ([], {"batch.total": 4}, "accept_change=[batch]"),
        (["batch"], {"batch.total": 4, "tokens": "cd"}, "accept_change=[batch,data.blend]"),
    ],
)
def test_what_is_not_accepted_is_refused_with_the_key(accepted, now, fix):
    with pytest.raises(SeedbedError, match="was trained on another order of data") as error:
        changes(accepted, **now)
    assert fix in error.value.fix


def test_seed_and_length_never_change():
    for now in ({"seed": 2}, {"model.seq_length": 32}, {"seed": 2, "batch.total": 4}):
        with pytest.raises(SeedbedError) as error:
            changes(["data.blend", "batch"], **now)
        assert "accept_change" not in error.value.fix


def test_a_ramp_that_is_gone_is_a_change():
    then = {**THEN, "batch.ramp": {"start": 2}}
    with pytest.raises(SeedbedError, match="batch"):
        _changes(Path("step_6"), then, THEN, [])


def test_a_child_goes_on_behind_what_all_segments_of_its_parent_read():
    old, new = blend_of(a=3, b=1), blend_of(b=1, c=1)
    parent = begun(old)
    segments.change(parent, 5, config(), new)
    parent.skipped = 8
    extra = checkpoint_facts(config(), new, parent)
    child = begun(new, "batch.total=4")
    _go_on_behind(child, {"step": 7, "extra": extra}, config("batch.total=4"), new)
    # Five steps of 8, two more, and 8 samples that were left out.
    assert [child.first_sample(step) for step in (0, 1)] == [64, 68]
    assert (child.segments[0].since, child.segments[0].read) == (40, {"a": 30, "b": 10})
    other = begun(old)
    _go_on_behind(other, {"step": 7, "extra": extra}, config(), old)
    assert other.first_sample(0) == 0
