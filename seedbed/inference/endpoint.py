"""Any OpenAI-compatible server as the oracle, asked from one process with bounded concurrency.

The client library retries what a server may get over (connection, 408, 409, 429, 5xx) with
exponential back-off and heeds Retry-After. What then still fails is nobody's label: asking stops,
what was answered is kept, and the next run asks the rest. Only a server's verdict on one content
(400, 413, 422: too long, refused) is an answer: a failure with its reason.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from conf.errors import SeedbedError
from conf.schema.curate import EndpointSettings

# about this content, not about the server
REFUSALS = (400, 413, 422)
SLACK_S = (
    # beyond the attempts' own time limits: the back-off between them (openai: at most 8 s,
    # Retry-After 60 s)
    90.0
)


@dataclass(frozen=True)
class Answer:
    """`text` as the oracle gave it, or "" with the `failure` that the server named.

    content_sha256: of what was asked about.
    """

    content_sha256: str
    text: str
    failure: str
    tokens_in: int
    tokens_out: int


class Pace:
    """At most `per_minute` units a minute: each turn starts when the units before it are paid for.
    0: no limit.
    """

    def __init__(self, per_minute: float):
        self._seconds_a_unit = 60.0 / per_minute if per_minute else 0.0
        self._free_at = 0.0

    async def turn(self, units: float) -> None:
        now = time.monotonic()
        start = max(now, self._free_at)
        self._free_at = start + units * self._seconds_a_unit
        await asyncio.sleep(start - now)


class Meter:
    """What asking has cost so far, in tokens and in the currency of the settings' prices."""

    def __init__(self, settings: EndpointSettings):
        self._prices = (settings.price_in, settings.price_out)
        self.tokens_in = self.tokens_out = 0

    def add(self, tokens_in: int, tokens_out: int) -> None:
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out

    @property
    def cost(self) -> float:
        return (self.tokens_in * self._prices[0] + self.tokens_out * self._prices[1]) / 1e6


class Stopped(Exception):
    """Asking had to end before every prompt was answered; `str` says why."""


def ask(
    prompts: list[tuple[str, str]],
    body: dict[str, Any],
    settings: EndpointSettings,
    meter: Meter,
    keep: Callable[[Answer], None],
    own: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    reasoning: bool = False,
) -> None:
    """Ask for each (content_sha256, prompt) and hand every answer to `keep` as it arrives, in no
    particular order.

    body: the requests' fields but their messages (model, temperature ...); own: further ones by
    content_sha256. reasoning: put the chain of thought, where the server gives it in a field of its
    own, in front of the answer between <think> and </think>. Raises SeedbedError where the server
    is down, refuses the key, answers garbage, or `settings.max_cost` is reached; answers up to then
    have been kept.
    """
    try:
        asyncio.run(_ask_all(prompts, body, settings, meter, keep, own, reasoning))
    except Stopped as stop:
        raise SeedbedError(
            f"oracle {body['model']} at {settings.url}: {stop}",
            "mend it and run again: what was answered is kept, only the rest is asked",
        ) from stop


async def _ask_all(
    prompts: list[tuple[str, str]],
    body: dict[str, Any],
    settings: EndpointSettings,
    meter: Meter,
    keep: Callable[[Answer], None],
    own: Mapping[str, dict[str, Any]],
    reasoning: bool,
) -> None:
    from openai import AsyncOpenAI

    key = os.environ.get(settings.key_variable, "") or "none"
    client = AsyncOpenAI(
        base_url=settings.url, api_key=key, max_retries=settings.retries, timeout=settings.timeout_s
    )
    requests, tokens = Pace(settings.requests_per_minute), Pace(settings.tokens_per_minute)
    waiting = iter(prompts)
    failures: list[str] = []

    async def worker() -> None:
        for content_sha256, prompt in waiting:
            if len(failures) >= settings.max_failures:
                return
            if settings.max_cost and meter.cost >= settings.max_cost:
                raise Stopped(
                    f"it has cost {meter.cost:.4f}, endpoint.max_cost is {settings.max_cost:g}"
                )
            await requests.turn(1)
            # about four characters a token
            await tokens.turn(len(prompt) / 4 + body["max_tokens"])
            try:
                fields = {**body, **own.get(content_sha256, {})}
                answer = await _ask(client, content_sha256, prompt, fields, settings, reasoning)
            except _Transient as error:
                failures.append(str(error))
                continue
            meter.add(answer.tokens_in, answer.tokens_out)
            keep(answer)

    try:
        async with client, asyncio.TaskGroup() as group:
            for _ in range(min(settings.concurrency, len(prompts))):
                group.create_task(worker())
    except ExceptionGroup as group_error:
        # the first of them cancelled the others
        raise group_error.exceptions[0] from group_error
    if failures:
        raise Stopped(f"{len(failures)} requests failed for good, the last with {failures[-1]}")


class _Transient(Exception):
    """The server failed, not the content."""


async def _ask(
    client: Any,
    content_sha256: str,
    prompt: str,
    body: dict[str, Any],
    settings: EndpointSettings,
    reasoning: bool,
) -> Answer:
    import openai

    try:
        async with asyncio.timeout(settings.timeout_s * (settings.retries + 1) + SLACK_S):
            reply = await client.chat.completions.create(
                messages=[{"role": "user", "content": prompt}], **body
            )
    except openai.APIStatusError as error:
        if error.status_code in REFUSALS:
            return Answer(
                content_sha256, "", f"http {error.status_code}: {str(error.message)[:500]}", 0, 0
            )
        if error.status_code in (401, 403, 404):
            raise Stopped(f"http {error.status_code}: {str(error.message)[:200]}") from error
        raise _Transient(f"http {error.status_code}: {str(error.message)[:200]}") from error
    except TimeoutError as error:
        raise _Transient(f"no answer in {settings.timeout_s:g} s") from error
    except (openai.APIError, ValueError) as error:
        # connection, time limit of an attempt, a body that is not JSON
        raise _Transient(f"{type(error).__name__}: {str(error)[:200]}") from error
    try:
        message, usage = reply.choices[0].message, reply.usage
        text = message.content or ""
        counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    except (AttributeError, IndexError, TypeError) as error:
        raise _Transient(f"a reply that is no chat completion: {str(reply)[:200]}") from error
    # DeepSeek's servers and older vLLM say reasoning_content, newer vLLM says reasoning.
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    if reasoning and thought:
        text = f"<think>\n{thought}\n</think>\n\n{text}"
    return Answer(content_sha256, text, "", *counts)
