"""vLLM in the executors as the oracle: a local model folder, asked through `mapInArrow`.

The sampler enforces the rating line as a regular expression, so no file can change the format of an
answer. One engine lives in each Python worker (seedbed/inference/in_process.py). The prompt goes
through the folder's chat template if it has one, and unchanged to a base model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from conf.errors import SeedbedError
from conf.schema.curate import LabelSettings
from seedbed.inference import in_process
from seedbed.kernels.tokens.plain_text import NotPlain, Piece, PieceEncoder
from spark_jobs.quality.rating import ANSWER

ANSWERS = "content_sha256 string, text string, failure string, tokens_in long, tokens_out long"


def answering(
    settings: LabelSettings,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow, from rows (content_sha256, prompt) to rows of ANSWERS."""

    def ask_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            # An empty partition must not start an engine.
            if batch.num_rows:
                yield _ask(batch, settings)

    return ask_batches


def _ask(batch: pa.RecordBatch, settings: LabelSettings) -> pa.RecordBatch:
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.sampling_params import StructuredOutputsParams

    engine = _engine(settings)
    room = settings.max_tokens - settings.max_answer_tokens
    tokenizer = engine.get_tokenizer()
    encoder = PieceEncoder(tokenizer)
    prompts = [_token_ids(encoder, tokenizer, prompt) for prompt in batch["prompt"].to_pylist()]
    fitting = [i for i, ids in enumerate(prompts) if len(ids) <= room]
    sampling = SamplingParams(
        temperature=settings.temperature,
        seed=settings.seed,
        max_tokens=settings.max_answer_tokens,
        structured_outputs=StructuredOutputsParams(regex=ANSWER),
    )
    outputs = (
        engine.generate(
            [TokensPrompt(prompt_token_ids=prompts[i]) for i in fitting], sampling, use_tqdm=False
        )
        if fitting
        else []
    )
    texts = [""] * len(prompts)
    failures = [f"prompt of {len(ids)} tokens, room for {room}" for ids in prompts]
    produced = [0] * len(prompts)
    for i, output in zip(fitting, outputs, strict=True):
        texts[i], failures[i], produced[i] = (
            output.outputs[0].text,
            "",
            len(output.outputs[0].token_ids),
        )
    columns = [
        batch["content_sha256"].to_pylist(),
        texts,
        failures,
        [len(ids) for ids in prompts],
        produced,
    ]
    names = ("content_sha256", "text", "failure", "tokens_in", "tokens_out")
    kinds = (pa.string(), pa.string(), pa.string(), pa.int64(), pa.int64())
    return pa.RecordBatch.from_arrays(
        [pa.array(c, k) for c, k in zip(columns, kinds, strict=True)], names=list(names)
    )


def _token_ids(encoder: PieceEncoder, tokenizer: Any, prompt: str) -> list[int]:
    """The prompt in the chat template, where there is one.

    A file that spells special tokens ends no turn with them.
    """
    if not getattr(tokenizer, "chat_template", None):
        return encoder.ids([Piece(prompt, True)])

    def rendered(text: str) -> str:
        messages = [{"role": "user", "content": text}]
        said = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return str(said)

    try:
        return encoder.ids(encoder.around(rendered, prompt))
    except NotPlain as error:
        raise SeedbedError(
            f"a file spells a special token, and the oracle's tokenizer cannot keep it plain: "
            f"{error}",
            "use another model as the oracle, or ask it through an endpoint",
        ) from error


def _engine(settings: LabelSettings) -> Any:
    return in_process.engine(
        settings.model,
        dtype=settings.dtype,
        max_model_len=settings.max_tokens,
        max_num_seqs=settings.batch_size,
        max_num_batched_tokens=max(4096, settings.max_tokens),
    )
