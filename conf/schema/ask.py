"""Settings of what a model is asked for: new problems, and responses to learn from. Paper sections
are those of the Seed-Coder report (arXiv 2506.03524).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.curate import EndpointSettings
from conf.schema.rl import EngineConfig, SandboxConfig, positive


@dataclass(frozen=True)
class AskConfig:
    """Who is asked for texts, and how it samples them."""

    # vllm (a process beside this one) | endpoint (any OpenAI-compatible server)
    source: str = "vllm"
    # vllm: a Hugging Face folder with a chat template; endpoint: its name there
    model: str = ""
    # the released model's own (its generation_config)
    temperature: float = 0.6
    max_answer_tokens: int = 1_024
    # vllm: of prompt and answer together, at most what the model was trained on
    max_tokens: int = 8_192
    seed: int = 1
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    engine: EngineConfig = field(default_factory=EngineConfig)

    def check(self) -> None:
        """Rules that span fields; each failure shows its arithmetic."""
        if self.source not in ("vllm", "endpoint"):
            raise SeedbedError(f"source={self.source!r} is unknown", "use vllm or endpoint")
        if self.source == "endpoint" and not self.endpoint.url.startswith(("http://", "https://")):
            raise SeedbedError(
                f"endpoint.url={self.endpoint.url!r} is no address",
                "give one such as http://HOST:8000/v1",
            )
        positive("max_answer_tokens", self.max_answer_tokens)
        if self.temperature < 0:
            raise SeedbedError(f"temperature={self.temperature} is below 0", "use 0 (greedy) to 1")
        if self.max_answer_tokens >= self.max_tokens:
            raise SeedbedError(
                f"max_answer_tokens={self.max_answer_tokens} leaves no room for a prompt in max_tokens={self.max_tokens}",
                "lower max_answer_tokens or raise max_tokens",
            )


@dataclass(frozen=True)
class SynthesisConfig(AskConfig):
    """Problems out of snippets of the curated documents, by a model that is asked step by step (Sec
    3.1).
    """

    # reads output/tables; writes output/tables/synthetic and output/rl/synthesis
    output: str = "runs/demo"
    # one a document; a larger draw holds the smaller one. Paper: about 3 million pairs (Sec 3.1)
    snippets: int = 1_000
    # of the snippets; solutions are always Python
    languages: list[str] = field(default_factory=lambda: ["Python"])
    # of a document. The paper filters strictly and gives no number (Sec 3.1)
    min_quality: float = 0.5
    # of a snippet: OSS-Instruct's 1 to 15 (arXiv 2312.02120 Sec 2)
    max_lines: int = 15
    # folder: a file a step, and styles.txt
    prompts: str = "conf/prompts/synthesis-v1"
    # of 10, by the model's own judgement. The paper's cut is not given
    min_correctness: int = 6
    # of 10: what is easier is dropped (Sec 3.1)
    min_difficulty: int = 3
    # asserts a problem: as many as MBPP has
    min_tests: int = 3
    # of self-correction after the first attempt; the paper gives no number
    rounds: int = 3
    # "humaneval" or a path: no n-gram in common
    benchmarks: list[str] = field(default_factory=lambda: ["humaneval"])
    # words (Sec 4)
    ngram: int = 10
    # snippets a commit: what a kill can cost in verdicts. Answers are kept one by one
    commit_every: int = 64
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)

    def check(self) -> None:
        """Rules that span fields; each failure shows its arithmetic."""
        super().check()
        for name in ("snippets", "max_lines", "min_tests", "ngram", "commit_every"):
            positive(name, getattr(self, name))
        if self.rounds < 0:
            raise SeedbedError(f"rounds={self.rounds} is below 0", "use 0 for no self-correction")


@dataclass(frozen=True)
class DistillConfig(AskConfig):
    """Responses of a teacher to problems with tests, of which the sandbox keeps the correct ones:
    the LongCoT warm-up (Sec 3.2).

    `source` may also be "file": responses that a teacher gave elsewhere.
    """

    # writes output/tables/demonstrations and output/rl/distill
    output: str = "runs/demo"
    # .jsonl, or a table of problems
    problems: str = ""
    # what a teacher is asked; the model that learns sees the problem alone
    prompt: str = "conf/prompts/distill-v1.txt"
    # source=file: .jsonl of {"task_id", "response"}, several a task or none
    traces: str = ""
    # HF folder of the model to be warmed up, whose tokens count; empty = output/hf
    base: str = ""
    # a response must be one chain of thought in <think> </think> and an answer with the program
    reasoning: bool = True
    # asked a problem at most, one after the other until enough are correct; the paper gives no
    # number
    samples: int = 4
    # correct responses kept a problem. The paper: thousands in all, deliberately few (Sec 3.2)
    per_problem: int = 1
    # tokens of prompt and response; the first stage of the report's RL has as many (Sec 3.2)
    max_length: int = 16_384
    max_answer_tokens: int = 16_384
    max_tokens: int = 20_480
    # problems a commit: what a kill can cost in verdicts. Answers are kept one by one
    commit_every: int = 64
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)

    def check(self) -> None:
        """Rules that span fields; each failure shows its arithmetic."""
        if self.source not in ("vllm", "endpoint", "file"):
            raise SeedbedError(f"source={self.source!r} is unknown", "use vllm, endpoint or file")
        if self.source != "file":
            super().check()
        if (self.source == "file") != bool(self.traces):
            raise SeedbedError(
                f"source={self.source!r} but traces={self.traces!r}",
                "give source=file traces=FILE for responses that are there, or neither",
            )
        for name in ("samples", "per_problem", "max_length", "commit_every"):
            positive(name, getattr(self, name))
        if self.per_problem > self.samples:
            raise SeedbedError(
                f"per_problem={self.per_problem} correct responses cannot come of samples={self.samples}",
                "raise samples or lower per_problem",
            )
