"""Prompts -> answers, from an OpenAI-compatible server or from vLLM beside this process.

Each answer is kept on disk as it arrives, under (hash of the prompt, hash of model and sampling).
The same question, after a kill or in a later run, gets the same answer and costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from conf.errors import SeedbedError
from conf.loader import config_hash
from conf.schema.ask import AskConfig
from megatron_train.checkpoint import hf_config
from seedbed.inference import endpoint, fingerprint
from seedbed.inference.chat import Chat
from seedbed.inference.endpoint import Answer
from seedbed.inference.engine import Sampling, sample_seed
from seedbed.inference.journal import Journal
from seedbed.inference.process_engine import Engine


def prompt_hash(prompt: str, number: int = 0) -> str:
    """Hash of a prompt; answers after the first also hash their number."""
    return hashlib.sha256((f"{number}\0{prompt}" if number else prompt).encode()).hexdigest()


class Teacher:
    """A model that answers prompts.

    identity: everything that an answer depends on besides its prompt. meter: tokens of the prompts
    that were really asked in this process. asked: how many these were.

    Raises:
        SeedbedError: for a model folder that cannot be asked.
    """

    def __init__(self, cfg: AskConfig, folder: Path, forms: str = "", reasoning: bool = False):
        """folder: for the journal and the engine's log.

        forms: version of the regular expressions that `ask` will get. reasoning: puts an endpoint's
        chain of thought, which servers send apart from the answer, in front of the answer.
        """
        self._cfg, self._folder, self._reasoning = cfg, folder, reasoning
        self.identity = _identity(cfg, forms) | ({"reasoning": True} if reasoning else {})
        self.meter, self.asked = endpoint.Meter(cfg.endpoint), 0
        self._owned = ExitStack()
        self._engine: Engine | None = None
        self._journal = self._owned.enter_context(
            Journal(folder / "answers.jsonl", config_hash(self.identity))
        )

    def ask(
        self, prompts: Sequence[str], forms: Sequence[str] = (), number: int = 0
    ) -> list[Answer]:
        """One answer per prompt, in order; equal prompts get equal answers.

        An answer has a `failure` where the server refuses its prompt, or where the prompt is too
        long for the model.

        forms: one regular expression per prompt, the same for the same prompt. With
            endpoint.structured the server forces the answer to match it. "" and no forms at all
            leave the answer free.
        number: which of several answers to the same prompts is wanted; each has its own seed.

        Raises:
            SeedbedError: where the server is down. The answers so far are kept.
        """
        keys = [prompt_hash(prompt, number) for prompt in prompts]
        known = self._journal.answers
        missing = {
            key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known
        }
        if missing and self._cfg.source == "vllm":
            self._ask_engine(list(missing.items()))
        elif missing:
            body: dict[str, Any] = {
                name: self.identity[name] for name in ("model", "temperature", "max_tokens")
            }
            body["seed"] = self._cfg.seed + number
            held = zip(keys, forms, strict=True) if forms and self._cfg.endpoint.structured else ()
            own = {
                key: {"extra_body": {"structured_outputs": {"regex": form}}}
                for key, form in held
                if form
            }
            endpoint.ask(
                list(missing.items()),
                body,
                self._cfg.endpoint,
                self.meter,
                self._keep,
                endpoint.Options(own, self._reasoning),
            )
        return [_answer(known[key]) for key in keys]

    def _keep(self, answer: Answer) -> None:
        self._journal.add(**answer.__dict__)
        self.asked += 1

    def _ask_engine(self, prompts: list[tuple[str, str]]) -> None:
        # The engine takes long to start, so it starts at the first prompt.
        if self._engine is None:
            model = Path(self._cfg.model)
            self._length = min(self._cfg.max_tokens, hf_config.model_config(model)[0].seq_length)
            self._chat = Chat(model)
            log = self._folder / "engine.log"
            self._engine = self._owned.enter_context(
                Engine(model, self._length, self._cfg.engine, log)
            )
        room = self._length - self._cfg.max_answer_tokens
        # A kill loses at most the prompts of one call, and the engine decodes so many together.
        size = self._cfg.engine.max_sequences
        for start in range(0, len(prompts), size):
            asked = [
                (key, self._chat.prompt(prompt)) for key, prompt in prompts[start : start + size]
            ]
            fitting = [(key, ids) for key, ids in asked if len(ids) <= room]
            for key, ids in asked:
                if len(ids) > room:
                    self._keep(
                        Answer(key, "", f"prompt of {len(ids)} tokens, room for {room}", 0, 0)
                    )
            if not fitting:
                continue
            seeds = [sample_seed(self._cfg.seed, key) for key, _ in fitting]
            sampling = Sampling(
                self._cfg.temperature, self._cfg.max_answer_tokens, [self._chat.end_id]
            )
            samples = self._engine.generate([ids for _, ids in fitting], seeds, sampling)
            for (key, ids), sample in zip(fitting, samples, strict=True):
                self.meter.add(len(ids), len(sample.tokens))
                self._keep(
                    Answer(key, self._chat.decode(sample.tokens), "", len(ids), len(sample.tokens))
                )

    def __enter__(self) -> Teacher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owned.close()


def _answer(record: dict[str, Any]) -> Answer:
    """The answer of a journal's record.

    A server's JSON may hold lone surrogates, which neither files nor hashes take. They become '?'.
    """
    kept = {name: record[name] for name in Answer.__dataclass_fields__}
    return Answer(**{**kept, "text": kept["text"].encode("utf-8", "replace").decode()})


def _identity(cfg: AskConfig, forms: str) -> dict[str, Any]:
    """Everything that an answer depends on besides its prompt."""
    if not cfg.model:
        raise SeedbedError(
            f"model is empty: source={cfg.source} has nobody to ask",
            "set model to a Hugging Face folder with a chat template, or for source=endpoint to "
            "the model's name there",
        )
    sampling = {
        "temperature": cfg.temperature,
        "seed": cfg.seed,
        "max_tokens": cfg.max_answer_tokens,
    }
    if cfg.source == "endpoint":
        held = forms if cfg.endpoint.structured else ""
        return {"source": cfg.source, "model": cfg.model, "structured": held, **sampling}
    # The identity is that of the folder's contents, whatever its path.
    folder = {
        "weights": fingerprint.identity(cfg.model),
        "length": cfg.max_tokens,
        "dtype": cfg.engine.dtype,
    }
    return {"source": cfg.source, **folder, **sampling}
