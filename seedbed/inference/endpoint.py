"""Asks any OpenAI-compatible server, from one process and with bounded concurrency.

The client library retries what a server may recover from (connection, 408, 409, 429, 5xx). It backs
off exponentially and obeys Retry-After. A request that still fails has no answer: asking stops, the
answers so far are kept, and the next run asks the rest. Only a refusal of one content (400, 413,
422: too long or not allowed) counts as an answer: a failure with its reason.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from conf.errors import SeedbedError
from conf.schema.curate import EndpointSettings
from seedbed.inference.thoughts import CLOSE, OPEN

# HTTP statuses that speak of one content, and not of the server.
REFUSALS = (400, 413, 422)
# Seconds for the back-off between attempts, on top of the attempts' own limits. The openai library
# waits at most 8 s by itself, and 60 s for a Retry-After.
SLACK_S = 90.0
# Characters per token, to estimate the tokens of a prompt before it is sent.
CHARS_PER_TOKEN = 4


@dataclass(frozen=True)
class Answer:
    """What the server said about one content.

    content_sha256: the content that the prompt asks about.
    text: the answer; empty where the server refused, for the reason in `failure`.
    """

    content_sha256: str
    text: str
    failure: str
    tokens_in: int
    tokens_out: int


class Pace:
    """Spreads units over time, so that no more than `per_minute` start per minute. 0: no limit.

    A turn starts when the time of all units before it has passed.
    """

    def __init__(self, per_minute: float):
        self._seconds_per_unit = 60.0 / per_minute if per_minute else 0.0
        self._free_at = 0.0

    async def turn(self, units: float) -> None:
        """Wait until `units` more may start."""
        now = time.monotonic()
        start = max(now, self._free_at)
        self._free_at = start + units * self._seconds_per_unit
        await asyncio.sleep(start - now)


class Meter:
    """The cost of asking so far, in tokens and in the currency of the settings' prices."""

    def __init__(self, settings: EndpointSettings):
        self._prices = (settings.price_in, settings.price_out)
        self.tokens_in = self.tokens_out = 0

    def add(self, tokens_in: int, tokens_out: int) -> None:
        """Count the tokens of one prompt and its answer."""
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out

    @property
    def cost(self) -> float:
        """Prices are per million tokens."""
        return (self.tokens_in * self._prices[0] + self.tokens_out * self._prices[1]) / 1e6


@dataclass(frozen=True)
class Options:
    """How requests differ from the plain ones.

    fields: content_sha256 -> further fields of its request.
    reasoning: put the chain of thought in front of the answer, between <think> and </think>, where
        the server gives it in a field of its own.
    """

    fields: Mapping[str, dict[str, Any]] = MappingProxyType({})
    reasoning: bool = False


class Stopped(Exception):
    """Asking ended before every prompt was answered. The message says why."""


class _Transient(Exception):
    """The server failed, and not the content."""


def ask(
    prompts: list[tuple[str, str]],
    body: dict[str, Any],
    settings: EndpointSettings,
    meter: Meter,
    keep: Callable[[Answer], None],
    options: Options | None = None,
) -> None:
    """Ask all prompts, and hand each answer to `keep` as it arrives, in no particular order.

    prompts: pairs (content_sha256, prompt).
    body: fields that all requests share, such as model, temperature and max_tokens.

    Raises SeedbedError where the server is down, refuses the key or sends nonsense, or where
    `settings.max_cost` is reached. The answers up to then have been kept.
    """
    asking = _Asking(body, settings, meter, keep, options or Options())
    try:
        asyncio.run(asking.run(prompts))
    except Stopped as stop:
        raise SeedbedError(
            f"oracle {body['model']} at {settings.url}: {stop}",
            "remove the cause and run again: what was answered is kept, and only the rest is asked",
        ) from stop


@dataclass
class _Asking:
    """One call of `ask`: its parameters, and what it has met."""

    body: dict[str, Any]
    settings: EndpointSettings
    meter: Meter
    keep: Callable[[Answer], None]
    options: Options

    def __post_init__(self) -> None:
        self._requests = Pace(self.settings.requests_per_minute)
        self._tokens = Pace(self.settings.tokens_per_minute)
        self._failures: list[str] = []

    async def run(self, prompts: list[tuple[str, str]]) -> None:
        from openai import AsyncOpenAI

        client = AsyncOpenAI(
            base_url=self.settings.url,
            api_key=os.environ.get(self.settings.key_variable, "") or "none",
            max_retries=self.settings.retries,
            timeout=self.settings.timeout_s,
        )
        waiting = iter(prompts)
        try:
            async with client, asyncio.TaskGroup() as group:
                for _ in range(min(self.settings.concurrency, len(prompts))):
                    group.create_task(self._work(client, waiting))
        except ExceptionGroup as group_error:
            # The first error cancelled all other tasks.
            raise group_error.exceptions[0] from group_error
        if self._failures:
            raise Stopped(
                f"{len(self._failures)} requests failed for good, the last with "
                f"{self._failures[-1]}"
            )

    async def _work(self, client: Any, waiting: Iterator[tuple[str, str]]) -> None:
        """Ask one prompt after the other, until none is left or asking must stop."""
        most = self.settings.max_cost
        for content_sha256, prompt in waiting:
            if len(self._failures) >= self.settings.max_failures:
                return
            if most and self.meter.cost >= most:
                raise Stopped(f"it has cost {self.meter.cost:.4f}, endpoint.max_cost is {most:g}")
            await self._requests.turn(1)
            await self._tokens.turn(len(prompt) / CHARS_PER_TOKEN + self.body["max_tokens"])
            try:
                answer = await self._answer(client, content_sha256, prompt)
            except _Transient as error:
                self._failures.append(str(error))
                continue
            self.meter.add(answer.tokens_in, answer.tokens_out)
            self.keep(answer)

    async def _answer(self, client: Any, content_sha256: str, prompt: str) -> Answer:
        import openai

        settings = self.settings
        fields = {**self.body, **self.options.fields.get(content_sha256, {})}
        try:
            async with asyncio.timeout(settings.timeout_s * (settings.retries + 1) + SLACK_S):
                reply = await client.chat.completions.create(
                    messages=[{"role": "user", "content": prompt}], **fields
                )
        except openai.APIStatusError as error:
            said = f"http {error.status_code}: {error.message}"
            if error.status_code in REFUSALS:
                return Answer(content_sha256, "", said[:510], 0, 0)
            if error.status_code in (401, 403, 404):
                raise Stopped(said[:210]) from error
            raise _Transient(said[:210]) from error
        except TimeoutError as error:
            raise _Transient(f"no answer in {settings.timeout_s:g} s") from error
        except (openai.APIError, ValueError) as error:
            # A lost connection, the time limit of an attempt, or a body that is not JSON.
            raise _Transient(f"{type(error).__name__}: {str(error)[:200]}") from error
        return _read(reply, content_sha256, self.options.reasoning)


def _read(reply: Any, content_sha256: str, reasoning: bool) -> Answer:
    try:
        message, usage = reply.choices[0].message, reply.usage
        text = message.content or ""
        counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    except (AttributeError, IndexError, TypeError) as error:
        raise _Transient(f"a reply that is no chat completion: {str(reply)[:200]}") from error
    # DeepSeek's servers and older vLLM say reasoning_content, and newer vLLM says reasoning.
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    if reasoning and thought:
        text = f"{OPEN}\n{thought}\n{CLOSE}\n\n{text}"
    return Answer(content_sha256, text, "", *counts)
