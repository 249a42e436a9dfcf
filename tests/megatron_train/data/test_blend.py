"""Which tokens a step reads, from which source and document, asked in both directions."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.batch import RampedBatchConfig
from conf.schema.layout import BatchConfig
from conf.schema.pretrain import DataConfig, PretrainConfig, SourceConfig
from megatron_train import lineage
from megatron_train.data.blend import Blend, micro_batches, open_blend
from megatron_train.data.manifest import read_sources
from megatron_train.parallel import processes
from tests.megatron_train import tiny

SEQ, BATCH, STEPS = 64, 8, 80
ORDER = lineage.Order((lineage.Stretch(1, 0, RampedBatchConfig(total=BATCH)),))


class Counted:
    """A corpus that records what it was asked to build."""

    def __init__(self):
        self.asked = []

    def ensure(self, start, count):
        self.asked.append((start, count))


def blend_of(*weights: float) -> Blend:
    return Blend(
        [f"s{i}" for i in range(len(weights))], list(weights), [Counted() for _ in weights]
    )


def test_a_blend_keeps_its_weights_in_every_stretch_and_counts_each_source_without_gaps():
    blend = blend_of(5, 3, 2)
    # The range goes past one period.
    located = [blend.locate(i) for i in range(70_000)]
    sources = np.array([source for source, _ in located])
    for stop in (10, 100, 5_000, 70_000):
        counts = np.bincount(sources[:stop], minlength=3)
        assert np.abs(counts - stop * np.array([0.5, 0.3, 0.2])).max() <= 2
    for source in range(3):
        numbers = [number for where, number in located if where == source]
        assert numbers == list(range(len(numbers)))


def test_a_blend_can_be_asked_backwards_and_builds_only_what_is_asked_for():
    blend = blend_of(1, 2)
    for i in (0, 1, 7, 65_535, 65_536, 200_001):
        assert blend.samples_of(*blend.locate(i)) == i
    blend.ensure(65_530, 12)
    (first, count), (second, more) = blend.corpora[0].asked[0], blend.corpora[1].asked[0]
    assert count + more == 12
    assert blend.locate(65_530) in {(0, first), (1, second)}


def test_one_source_alone_is_read_in_its_own_order():
    assert [blend_of(3).locate(i) for i in (0, 5, 65_536, 100_000)] == [
        (0, 0),
        (0, 5),
        (0, 65_536),
        (0, 100_000),
    ]


@pytest.fixture(scope="module")
def run(token_folder, tmp_path_factory):
    """A run folder with token_index and documents, as the packer leaves them."""
    run = tmp_path_factory.mktemp("lineage") / "run"
    shutil.copytree(token_folder, run)
    raw = json.loads((run / "tokens" / "manifest.json").read_text())
    index, documents = [], []
    for shard in raw["shards"]:
        for number in range(shard["documents"]):
            document_id = f"{shard['prefix']}-{number:03d}".encode().hex()
            index.append((document_id, 0, shard["split"], f"{shard['prefix']}.bin", number))
            documents.append((document_id, "repo", "Python", [{"path": f"{number}.py"}]))
    names = ("document_id", "epoch", "split", "shard_file", "document_number")
    write_deltalake(run / "tables" / "token_index", table(names, index))
    write_deltalake(
        run / "tables" / "documents", table(("document_id", "repo", "language", "parts"), documents)
    )
    (run / "tokens" / "manifest.json").write_text(
        json.dumps({**raw, "tables": {"documents": 0, "token_index": 0}})
    )
    return run


def table(names, rows):
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})


def options(run) -> list[str]:
    return [
        f"output={run}",
        f"model.seq_length={SEQ}",
        f"batch.total={BATCH}",
        f"schedule.steps={STEPS}",
        "schedule.decay_steps=0",
    ]


@pytest.fixture(scope="module")
def data(run):
    cfg = load(PretrainConfig, None, options(run))
    blend = open_blend(read_sources(cfg.data, run), cfg, "train", run / "pretrain" / "index")
    # Some pass ends within the run.
    assert blend.corpora[0].per_pass < STEPS * BATCH < 3 * blend.corpora[0].per_pass
    return blend


def test_what_a_sample_reads_is_what_its_documents_hold(run, data):
    shards = {
        s.prefix.name: np.fromfile(f"{s.prefix}.bin", np.uint16)
        for s in data.corpora[0].manifest.of("train")
    }
    for sample in range(0, STEPS * BATCH, 7):
        data.ensure(sample, 1)
        tokens = data[sample][1]["tokens"].numpy()
        read = []
        for reading in lineage.readings(data, sample, ORDER):
            begins = np.flatnonzero(np.concatenate([[1], shards[reading.shard] == 0]))[
                reading.number
            ]
            read.append(shards[reading.shard][begins + reading.first :][: reading.tokens])
            assert reading.step == sample // BATCH + 1
        assert np.array_equal(np.concatenate(read), tokens)


def test_a_document_ends_with_its_end_token(data, monkeypatch):
    """Its id counts the end tokens before a place, by hand, for the second of two processes."""
    monkeypatch.setattr(processes, "dp_size", lambda: 2)
    monkeypatch.setattr(processes, "dp_rank", lambda: 1)
    end = data.corpora[0].manifest.eod
    batches = micro_batches(data, 3, 8, BatchConfig(total=8, micro=2), document_mask=True)
    read = [data[i][1]["tokens"].tolist() for i in (5, 6, 9, 10)]
    assert [row for batch in batches for row in batch["tokens"].tolist()] == read
    assert any(end in tokens[:-1] for tokens in read)
    ids = [row for batch in batches for row in batch["document_ids"].tolist()]
    assert ids == [[tokens[:i].count(end) for i in range(len(tokens))] for tokens in read]


def test_each_pass_has_all_samples_in_an_order_of_its_own(data):
    (corpus,) = data.corpora
    size = corpus.per_pass
    data.ensure(0, 2 * size)
    passes = [
        [tuple(corpus[i]["tokens"].tolist()) for i in range(start, start + size)]
        for start in (0, size)
    ]
    assert passes[0] != passes[1]
    # The samples of a pass are cut at other places, and the tokens are the same but for the last.
    counts = [Counter(token for sample in one for token in sample) for one in passes]
    assert (counts[0] - counts[1]).total() <= data.corpora[0].seq_length * 2


def test_the_steps_of_a_document_are_those_whose_documents_name_it(data):
    forward: dict[tuple[str, int], list[lineage.Reading]] = {}
    for sample in range(STEPS * BATCH):
        data.ensure(sample, 1)
        for reading in lineage.readings(data, sample, ORDER):
            forward.setdefault((reading.shard, reading.number), []).append(reading)
    for (shard, number), read in list(forward.items())[::9]:
        assert list(lineage.steps_of(data, 0, shard, number, STEPS, ORDER)) == read


def test_the_commands_name_documents_and_steps(run, capsys):
    lineage.which_documents(["--step", "3", *options(run)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["sample"] for line in lines} == set(range(16, 24))
    assert sum(line["tokens"] for line in lines) == BATCH * SEQ
    assert (
        bytes.fromhex(lines[0]["document_id"]).decode()
        == f"{lines[0]['shard']}-{lines[0]['number']:03d}"
    )
    assert lines[0]["paths"] == [f"{lines[0]['number']}.py"]
    lineage.which_steps(["--document", lines[0]["document_id"], *options(run)])
    first, *readings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first["number"] == lines[0]["number"]
    assert 3 in {reading["step"] for reading in readings}


def test_samples_that_rewinding_left_out_belong_to_no_step():
    # The run went back from step 7 to step 4 and left out what steps 5, 6 and 7 had read.
    batch = RampedBatchConfig(total=8)
    order = lineage.Order((lineage.Stretch(1, 0, batch), lineage.Stretch(5, 56, batch)))
    assert [order.first_sample(step) for step in (1, 4, 5, 6)] == [0, 24, 56, 64]
    assert [order.step_of(sample) for sample in (0, 31, 32, 55, 56, 64)] == [1, 4, None, None, 5, 6]


def test_a_step_or_document_that_is_not_there_is_refused(run):
    with pytest.raises(SeedbedError, match="the run has steps 1 to 80"):
        lineage.which_documents(["--step", "81", *options(run)])
    with pytest.raises(
        SeedbedError, match="no training document of tokens has an id that begins with 00000000"
    ):
        lineage.which_steps(["--document", "00000000", *options(run)])
    with pytest.raises(SeedbedError, match="8 digits at least"):
        lineage.which_steps(["--document", "00", *options(run)])


def test_sources_with_two_tokenizers_are_refused(token_folder, tmp_path):
    tiny.write_tokens(
        tmp_path / "other", tiny.documents(20, seed=5), tiny.documents(5), vocab_size=300
    )
    blend = [
        SourceConfig("a", str(token_folder / "tokens")),
        SourceConfig("b", str(tmp_path / "other")),
    ]
    with pytest.raises(SeedbedError, match=r"data\.blend mixes tokenizers: a has"):
        read_sources(DataConfig(blend), tmp_path)
