"""Settings of what a model is asked for: new problems, and responses to learn from.

Paper sections are those of the Seed-Coder report (arXiv 2506.03524).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.checks import holds_tables, one_of
from conf.schema.curate import EndpointSettings
from conf.schema.problem_files import ProblemFileConfig
from conf.schema.ranges import Count, Few, FewOrNone, Points, Seed, Share, Temperature
from conf.schema.rl import EngineConfig, SandboxConfig


@dataclass(frozen=True)
class AskConfig:
    """Which model is asked for texts, and how it samples them."""

    # vllm (a process beside this one) | endpoint (any OpenAI-compatible server).
    source: str = "vllm"
    # vllm: a Hugging Face folder with a chat template. endpoint: the model's name there.
    model: str = ""
    # The value of the released model (its generation_config).
    temperature: Temperature = 0.6
    max_answer_tokens: Count = 1_024
    # vllm: tokens of prompt and answer together, at most what the model was trained on.
    max_tokens: Count = 8_192
    seed: Seed = 1
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    engine: EngineConfig = field(default_factory=EngineConfig)

    def check(self) -> None:
        """The rules of the source, and those between fields."""
        one_of("source", self.source, "vllm", "endpoint")
        if self.source == "endpoint":
            self.endpoint.check("endpoint")
        if self.max_answer_tokens >= self.max_tokens:
            raise SeedbedError(
                f"max_answer_tokens={self.max_answer_tokens} leaves no room for a prompt in "
                f"max_tokens={self.max_tokens}",
                "lower max_answer_tokens or raise max_tokens",
            )


@dataclass(frozen=True)
class SynthesisConfig(AskConfig):
    """New problems from snippets of the curated documents (Sec 3.1).

    A model is asked for each step of making them.
    """

    # Reads output/tables. Writes output/tables/synthetic and output/rl/synthesis.
    output: str = "runs/demo"
    # Snippets, one per document. A larger draw contains the smaller one. The paper has about 3
    # million pairs (Sec 3.1).
    snippets: Count = 1_000
    # Languages of the snippets. Solutions are always Python.
    languages: list[str] = field(default_factory=lambda: ["Python"])
    # Lowest quality of a document. The paper filters strictly and gives no number (Sec 3.1).
    min_quality: Share = 0.5
    # Lines of a snippet. OSS-Instruct takes 1 to 15 (arXiv 2312.02120 Sec 2).
    max_lines: Count = 15
    # A folder with one file per step, and styles.txt.
    prompts: str = "conf/prompts/synthesis-v1"
    # Points of 10, by the model's own judgement. The paper does not give its cut.
    min_correctness: Points = 6
    # Points of 10. Easier problems are dropped (Sec 3.1).
    min_difficulty: Points = 3
    # Asserts per problem, as many as MBPP has.
    min_tests: Count = 3
    # Rounds of self-correction after the first attempt. The paper gives no number.
    rounds: FewOrNone = 3
    # "humaneval" or paths. A problem must share no n-gram with them.
    benchmarks: list[str] = field(default_factory=lambda: ["humaneval"])
    # Words per n-gram (Sec 4).
    ngram: Few = 10
    # Snippets per commit. A kill costs at most their verdicts, as answers are kept one by one.
    commit_every: Count = 64
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)

    def check(self) -> None:
        """The rules of `AskConfig`, and those between fields."""
        holds_tables("output", self.output)
        self.sandbox.check()
        super().check()


@dataclass(frozen=True)
class DistillConfig(AskConfig, ProblemFileConfig):
    """Responses of a teacher to problems with tests: the LongCoT warm-up (Sec 3.2).

    The sandbox keeps the correct ones. `source` may also be "file": responses that a teacher gave
    elsewhere.
    """

    # Writes output/tables/demonstrations and output/rl/distill.
    output: str = "runs/demo"
    # JSON lines, or a table of problems.
    problems: str = ""
    # What a teacher is asked. The model that learns sees the problem alone.
    prompt: str = "conf/prompts/distill-v1.txt"
    # source=file: JSON lines {"task_id", "response"}, with any number per task.
    traces: str = ""
    # Hugging Face folder of the model to be warmed up, whose tokens count. Empty means output/hf.
    base: str = ""
    # A response must be one chain of thought in <think> </think>, and an answer with the program.
    reasoning: bool = True
    # Most responses that are asked for per problem, one after the other until enough are correct.
    # The paper gives no number.
    samples: Count = 4
    # Correct responses that are kept per problem. The paper has thousands in all, deliberately few
    # (Sec 3.2).
    per_problem: Count = 1
    # Tokens of prompt and response. The first stage of the report's RL has as many (Sec 3.2).
    max_length: Count = 16_384
    max_answer_tokens: Count = 16_384
    max_tokens: Count = 20_480
    # Problems per commit. A kill costs at most their verdicts, as answers are kept one by one.
    commit_every: Count = 64
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)

    def check(self) -> None:
        """The rules of `AskConfig`, and those between fields."""
        holds_tables("output", self.output)
        self.sandbox.check()
        one_of("source", self.source, "vllm", "endpoint", "file")
        if self.source != "file":
            super().check()
        if (self.source == "file") != bool(self.traces):
            raise SeedbedError(
                f"source={self.source!r} but traces={self.traces!r}",
                "give source=file traces=FILE for responses that are there, or neither",
            )
        if self.per_problem > self.samples:
            raise SeedbedError(
                f"per_problem={self.per_problem} correct responses cannot come from "
                f"samples={self.samples}",
                "raise samples or lower per_problem",
            )
