"""Settings of labels, scores and recall: how the quality of contents is judged.

Paper sections are those of the Seed-Coder report (arXiv 2506.03524).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conf.errors import SeedbedError
from conf.schema.checks import one_of
from conf.schema.ranges import (
    Amount,
    AmountAboveNone,
    Count,
    CountOrNone,
    Few,
    FewOrNone,
    Seed,
    Share,
    Temperature,
)


@dataclass(frozen=True)
class EndpointSettings:
    """An OpenAI-compatible server that is asked for labels or problems.

    The server sets the limits; 0 means that it has none.
    """

    # The address up to /v1, such as http://HOST:8000/v1.
    url: str = ""
    # The environment variable that holds the key. A config never holds the key itself.
    key_variable: str = "OPENAI_API_KEY"
    # Requests in flight.
    concurrency: Few = 16
    requests_per_minute: Amount = 0.0
    # Tokens of prompts and answers, estimated before asking.
    tokens_per_minute: Amount = 0.0
    # Seconds that one attempt may take.
    timeout_s: AmountAboveNone = 120.0
    # Attempts after the first, with exponential back-off, where a server may recover (429, 5xx,
    # connection).
    retries: FewOrNone = 6
    # Contents that ran out of retries before asking stops.
    max_failures: CountOrNone = 3
    # Send the form of an answer as `structured_outputs`, which vLLM's servers know.
    structured: bool = False
    # Price of a million prompt tokens.
    price_in: Amount = 0.0
    # Price of a million answer tokens.
    price_out: Amount = 0.0
    # What one run may cost, in the currency of the prices.
    max_cost: Amount = 0.0

    def check(self, name: str) -> None:
        """Rules for an endpoint that is to be asked. name: of this section, for errors."""
        if not self.url.startswith(("http://", "https://")):
            raise SeedbedError(
                f"{name}.url={self.url!r} is no address", "give one such as http://HOST:8000/v1"
            )


@dataclass(frozen=True)
class LabelSettings:
    """Where labels come from: a file, or an oracle asked by the rubric (Sec 2.2.1, App A.2)."""

    # The name that the rows have, and that fits and reports refer to.
    oracle: str = "seedbed-labels-v1"
    # file | endpoint | vllm (in the executors).
    source: str = "file"
    # The labels of source=file.
    path: str = "conf/oracle/labels.jsonl"
    prompt: str = "conf/prompts/rubric-v1.txt"
    # endpoint: the model's name there. vllm: a local Hugging Face folder.
    model: str = ""
    # Contents that are asked about per language. The paper has about 10,000 (Table 17).
    per_language: Count = 500
    # Characters of a file. The middle of a longer file is left out.
    max_chars: Count = 60_000
    max_answer_tokens: Count = 400
    temperature: Temperature = 0.0
    # Of the sample of contents, and of the answers where the temperature is not 0.
    seed: Seed = 1
    # Answers per commit.
    commit_every: Count = 256
    # Contents with a label in `path` that are asked about first; 0 asks none.
    gold: CountOrNone = 64
    # Mean error on these, in points of 10, beyond which nothing else is asked.
    max_gold_error: Amount = 3.0
    # vllm: tokens of prompt and answer together.
    max_tokens: Count = 32_768
    # vllm: prompts per batch.
    batch_size: Few = 16
    # vllm: dtype of the model's weights.
    dtype: str = "auto"
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)

    def check(self) -> None:
        """Refuses a source that lacks what it needs."""
        one_of("labels.source", self.source, "file", "endpoint", "vllm")
        if self.source == "file":
            return
        if self.oracle == LabelSettings.oracle:
            raise SeedbedError(
                f"labels.oracle={self.oracle} is the name of the label file; "
                f"labels.source={self.source} asks another oracle",
                "give its labels a name of their own: labels.oracle=NAME",
            )
        if not self.model:
            raise SeedbedError(f"labels.source={self.source} has no model", "set labels.model")
        if self.source == "endpoint":
            self.endpoint.check("labels.endpoint")


@dataclass(frozen=True)
class ScoreSettings:
    """Which scorer writes `scores`, and for which contents."""

    # "structural" (fit_scorer fits it on the labels), or a folder with a scorer.json.
    scorer: str = "structural"
    # all | survivors | labelled.
    scope: str = "all"
    # Tokens of one window of a language-model scorer.
    max_tokens: Count = 512
    # Windows of a longer file. 1 takes its leading tokens. More are spread evenly from start to
    # end, and their mean counts.
    windows: Few = 1
    # A first pass that saves the language model the clear cases: "structural", or a folder of that
    # kind.
    student: str = ""
    # A content that the student scores lower keeps the student's score.
    student_below: Share = 0.05
    batch_size: Few = 64
    # Dtype of a language-model scorer. Use bfloat16 where the processor has it.
    dtype: str = "float32"
    # Contents with a label by labels.oracle that a new scorer version or engine scores first; 0
    # scores none.
    gold: CountOrNone = 64
    # Mean change of their quality from the previous scorer of the same name.
    max_gold_shift: Amount = 0.15
    # Largest change of one of them, where the same scorer runs on another engine.
    max_engine_shift: Amount = 0.02

    def check(self) -> None:
        """Refuses unknown scopes."""
        one_of("score.scope", self.scope, "all", "survivors", "labelled")


@dataclass(frozen=True)
class RecallSettings:
    """Seeds and rounds of the recall of high-quality contents.

    The paper has about 100,000 seeds per source, and 2 or 3 rounds (Sec 2.2.4).
    """

    # 0 switches recall off.
    rounds: FewOrNone = 0
    # Lowest quality of a seed.
    min_quality: Share = 0.7
    # Smallest share of a seed's bytes that are comments.
    min_comment_share: Share = 0.05
    # Languages of seeds; none means all.
    languages: list[str] = field(default_factory=list)
    # Packages of which a seed imports one; none means any.
    imports: list[str] = field(default_factory=list)
    # Most seeds, and most contents that one round may add.
    seeds: Count = 100_000
    seeds_per_repo: Count = 100
    # Probability from which on a content counts as found.
    threshold: Share = 0.9
    # A content that is found but scored lower is a hard negative, and never a positive.
    max_hard_quality: Share = 0.5
    seed: Seed = 1
