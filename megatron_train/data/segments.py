"""Where in the order of samples a run is, also after its blend or its batch was changed.

A run is a row of segments. Each begins where the one before it ended, at a checkpoint. The rule:

- Samples are numbered through. No number is read twice or left out by a change.
- After a change of the batch alone, sample i is what it would have been without the change.
- After a change of the blend, the order of the sources begins anew. Each source that was read
  before goes on behind its last sample, by its own count, whatever its name or weight is now. So no
  sample of it is read again before the pass that it is in is over. A new source begins at its
  first sample.

A source is known by the contents of its tokens (Manifest.identity).
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.loader import config_hash, from_dict, to_dict
from conf.schema.batch import RampedBatchConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.data.blend import Blend, drawn
from seedbed import json_object
from seedbed.files import write_whole


@dataclass(frozen=True)
class Segment:
    """A stretch of a run with one blend and one batch, as JSON in checkpoints and segments.json."""

    # Steps that the run took before it.
    step: int
    # The number of its first sample.
    sample: int
    config_hash: str
    # RampedBatchConfig as JSON.
    batch: dict[str, Any]
    # For each source: name, tokens (as data.blend has it, or "" for output/tokens), weight and
    # identity.
    sources: list[dict[str, Any]]
    # The sample at which its order of sources begins. A change of the batch alone keeps it.
    since: int = 0
    # identity -> samples of that source that were read before `since`.
    read: dict[str, int] = field(default_factory=dict)

    @functools.cached_property
    def sizes(self) -> RampedBatchConfig:
        return from_dict(RampedBatchConfig, self.batch, "the batch of a segment")

    def read_up_to(self, sample: int) -> dict[str, int]:
        """identity -> samples of that source among all before number `sample` of this segment."""
        counts = drawn([source["weight"] for source in self.sources], sample - self.since)
        total = Counter(self.read)
        for source, count in zip(self.sources, counts, strict=True):
            total[source["identity"]] += count
        return dict(total)


@dataclass(frozen=True)
class Draw:
    """What one step reads: `count` samples from number `first` on.

    read: samples of this step and all before it, without those that were left out. segment: counted
    from 1.
    """

    first: int
    count: int
    read: int
    segment: int = 1


@dataclass
class Cursor:
    """Where a run is. It follows from the step, the segments, and what rewinding left out."""

    segments: list[Segment]
    # Samples that rewinding left out since the last segment began.
    skipped: int = 0

    @property
    def before(self) -> int:
        """Samples that the runs before this one have read."""
        return self.segments[0].sample

    def first_sample(self, step: int) -> int:
        """The first sample of step `step` of the last segment; steps count from 0 over the run."""
        last = self.segments[-1]
        batch = last.sizes
        return last.sample + batch.samples(step) - batch.samples(last.step) + self.skipped

    def read(self, step: int) -> int:
        """Samples of all steps before `step`, without those that were left out."""
        ends = [segment.step for segment in self.segments[1:]] + [step]
        return sum(
            segment.sizes.samples(end) - segment.sizes.samples(segment.step)
            for segment, end in zip(self.segments, ends, strict=True)
        )

    def draw(self, step: int) -> Draw:
        """What step `step` reads, counted from 0."""
        count = self.segments[-1].sizes.size(step)
        return Draw(self.first_sample(step), count, self.read(step + 1), len(self.segments))


def first_segment(cfg: PretrainConfig, train: Blend, sample: int = 0) -> Segment:
    """The segment that a run begins with. sample: how many its parents have read in this order."""
    folders = {source.name: source.tokens for source in cfg.data.blend}
    sources = [
        {"name": name, "tokens": folders.get(name, ""), "weight": weight, "identity": identity}
        for name, weight, identity in zip(train.names, train.weights, train.identities, strict=True)
    ]
    return Segment(0, sample, config_hash(cfg), to_dict(cfg.batch), sources)


def change(cursor: Cursor, step: int, cfg: PretrainConfig, train: Blend) -> None:
    """Begin a new segment before step `step`, with the batch and the blend of `cfg`.

    Raises:
        SeedbedError: where two sources are the same tokens, so that neither has a count of its own.
    """
    last, sample = cursor.segments[-1], cursor.first_sample(step)
    new = first_segment(cfg, train)
    since, read = last.since, last.read
    if _blend(new) != _blend(last):
        for segment in (last, new):
            names = [source["name"] for source in segment.sources]
            if len({source["identity"] for source in segment.sources}) < len(names):
                raise SeedbedError(
                    f"two of the sources {', '.join(names)} hold the same tokens, so a change of "
                    "the blend cannot go on behind what was read of each",
                    "keep data.blend as it was, or use another output folder",
                )
        since, read = sample, last.read_up_to(sample)
    cursor.segments.append(
        Segment(step, sample, new.config_hash, new.batch, new.sources, since, read)
    )
    cursor.skipped = 0


def of_checkpoint(extra: dict[str, Any], cfg: PretrainConfig, train: Blend) -> Cursor:
    """Where a checkpoint's run was; extra is that of its manifest.

    Checkpoints from before there were segments have one, whose blend must be that of `train`.
    """
    skipped = extra.get("skipped_samples", 0)
    if "segments" in extra:
        return Cursor([Segment(**one) for one in extra["segments"]], skipped)
    one = asdict(first_segment(cfg, train, extra.get("samples_before", 0)))
    one["batch"] |= {"total": extra["order"]["batch.total"]}
    return Cursor([Segment(**one)], skipped)


def write(folder: Path, segments: list[Segment]) -> None:
    """Write DIR/pretrain/segments.json."""
    text = json.dumps({"segments": [asdict(one) for one in segments]}, indent=2)
    write_whole(folder / "segments.json", text + "\n")


def read(folder: Path) -> list[Segment]:
    """The segments of a run, [] where segments.json is not there."""
    file = folder / "segments.json"
    if not file.is_file():
        return []
    fix = "start the run again: it writes the file"
    with json_object.shaped(file, "list of segments", fix):
        return [Segment(**one) for one in json_object.read(file, fix)["segments"]]


def _blend(segment: Segment) -> list[Any]:
    return [(source["identity"], source["weight"]) for source in segment.sources]
