"""Settings of the demo: the pinned inputs, and the config of each program in a profile."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from conf.schema.checks import holds_tables
from conf.schema.ranges import Count, Few


@dataclass(frozen=True)
class DemoConfig:
    """A profile of the demo (`python -m demo`)."""

    # The folder of the run.
    output: str = "runs/demo"
    # Where the wheels are, which are kept between runs.
    downloads: str = "downloads/demo"
    # Pinned requirements with hashes.
    sources: str = "conf/curate/demo_sources.txt"
    curate: str = "conf/curate/demo.yaml"
    pretrain: str = "conf/pretrain/demo.yaml"
    # Processes of pretraining: TP=2 x PP=2 over gloo.
    pretrain_ranks: Few = 4
    # Leading tokens of a file that the language-model scorer reads.
    scorer_tokens: Count = 128
    sft: str = "conf/rl/demo_sft.yaml"
    grpo: str = "conf/rl/demo_grpo.yaml"
    # Processes of SFT and of GRPO.
    rl_ranks: Few = 2
    # What the run should give, in the form that demo/expectations.py reads.
    expected: str = "conf/demo/expected_full.yaml"

    def check(self) -> None:
        """Refuses an empty output, and one that is not on this machine."""
        if not self.output:
            raise SeedbedError("output is empty", "add output=DIR")
        holds_tables("output", self.output)
