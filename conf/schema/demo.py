"""Settings of `make demo`: which pinned inputs and which config of each program a profile takes."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError


@dataclass(frozen=True)
class DemoConfig:
    output: str = "runs/demo"
    # the wheels, kept between runs
    downloads: str = "downloads/demo"
    # pinned requirements with hashes
    sources: str = "conf/curate/demo_sources.txt"
    curate: str = "conf/curate/demo.yaml"
    pretrain: str = "conf/pretrain/demo.yaml"
    # TP=2 x PP=2 over gloo
    pretrain_ranks: int = 4
    # leading tokens that the language-model scorer reads
    scorer_tokens: int = 128
    sft: str = "conf/rl/demo_sft.yaml"
    grpo: str = "conf/rl/demo_grpo.yaml"
    rl_ranks: int = 2
    expected: str = "conf/demo/expected_full.yaml"

    def check(self) -> None:
        if not self.output:
            raise SeedbedError("output is empty", "add output=DIR")
