"""Where a run is in the order of samples, after its blend or its batch was changed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.pretrain import PretrainConfig
from megatron_train.data import segments
from megatron_train.data.blend import Blend
from megatron_train.data.segments import Cursor, Draw


def blend_of(**weights: float) -> Blend:
    """The tokens of a source are known by the first letter of its name."""
    corpora = [
        SimpleNamespace(manifest=SimpleNamespace(identity=name[0], vocab_size=384))
        for name in weights
    ]
    return Blend(list(weights), list(weights.values()), corpora)


def config(*words: str) -> PretrainConfig:
    return load(PretrainConfig, None, ["batch.micro=2", "batch.total=8", *words])


def begun(train: Blend, *words: str) -> Cursor:
    return Cursor([segments.first_segment(config(*words), train)])


def test_a_change_of_the_batch_reads_on_in_the_same_order():
    train = blend_of(a=3, b=1)
    cursor = begun(train)
    segments.change(cursor, 5, config("batch.total=4"), train)
    assert [cursor.first_sample(step) for step in (5, 6, 7)] == [40, 44, 48]
    assert cursor.draw(6) == Draw(first=44, count=4, read=48, segment=2)
    assert (cursor.segments[-1].since, cursor.segments[-1].read) == (0, {})


def test_after_a_change_of_the_blend_each_source_goes_on_behind_its_last_sample():
    old, new = blend_of(a=3, b=1), blend_of(c=1, best=1)
    cursor = begun(old)
    segments.change(cursor, 5, config(), new)
    last = cursor.segments[-1]
    assert (last.since, last.read) == (40, {"a": 30, "b": 10})
    new.begin_at(last.since, last.read)
    located = [new.locate(i) for i in range(40, 52)]
    assert [number for source, number in located if source == 0] == list(range(6))
    # It has another name now, and its tokens are the same.
    assert [number for source, number in located if source == 1] == list(range(10, 16))
    assert all(new.samples_of(*place) == 40 + i for i, place in enumerate(located))
    # A source that comes back goes on behind what was read before it went.
    segments.change(cursor, 7, config(), old)
    assert cursor.segments[-1].read == {"a": 30, "b": 18, "c": 8}


def test_epochs_count_what_was_read_before_the_change():
    new = blend_of(c=1, b=1)
    for corpus in new.corpora:
        corpus.per_pass = 10
    new.begin_at(40, {"a": 30, "b": 10})
    assert new.epochs(60) == pytest.approx({"c": 1.0, "b": 2.0})


def test_samples_that_were_left_out_count_as_read():
    train = blend_of(a=1)
    cursor = begun(train)
    cursor.skipped = 16
    segments.change(cursor, 5, config(), blend_of(a=1, b=1))
    assert (cursor.segments[-1].sample, cursor.skipped) == (56, 0)
    assert cursor.segments[-1].read == {"a": 56}
    assert (cursor.read(6), cursor.draw(6).first) == (48, 64)


def test_the_same_tokens_twice_have_no_count_of_their_own():
    with pytest.raises(SeedbedError, match="two of the sources a, again hold the same tokens"):
        segments.change(begun(blend_of(a=1, b=1)), 5, config(), blend_of(a=1, again=1))


def test_a_checkpoint_from_before_there_were_segments_has_one():
    extra = {"samples_before": 24, "skipped_samples": 8, "order": {"batch.total": 4}}
    cursor = segments.of_checkpoint(extra, config(), blend_of(a=1))
    assert [cursor.first_sample(step) for step in (0, 1)] == [32, 36]
    assert (cursor.before, len(cursor.segments)) == (24, 1)


def test_segments_are_read_as_they_were_written(tmp_path):
    assert segments.read(tmp_path) == []
    cursor = begun(blend_of(a=2, b=1), "batch.ramp={start: 2, increment: 2, samples: 12}")
    segments.change(cursor, 3, config(), blend_of(b=1))
    segments.write(tmp_path, cursor.segments)
    assert segments.read(tmp_path) == cursor.segments
    assert segments.read(tmp_path)[0].sizes.size(2) == 4
    (tmp_path / "segments.json").write_text('{"segments": [{"steps": 3}]}')
    with pytest.raises(SeedbedError, match="is no list of segments"):
        segments.read(tmp_path)
