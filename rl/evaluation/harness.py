"""Our models as a model type of lm-evaluation-harness, for `lm_eval --model seedbed`.

Log-likelihoods and greedy answers are those of the harness's own type `hf` on the same folder
(tests/rl/evaluation/test_harness.py). There are three differences. A special token that a task's
text spells stays plain text, as in training. A folder is examined before it is loaded, and a
checkpoint of pretraining may stand in its place. What is cut for its length is counted and told.

Importing this module registers the model type. It needs the package lm_eval.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from conf.errors import SeedbedError
from conf.schema.layout import ParallelConfig
from megatron_train.checkpoint import hf_folder
from megatron_train.checkpoint.step_folders import chosen
from megatron_train.export import from_checkpoint
from megatron_train.parallel import processes
from rl.evaluation.templated import Templated
from seedbed.dtypes import torch_dtype

_ARGUMENTS = (
    "give --model_args pretrained=FOLDER[,dtype=bf16][,max_length=N], or output=DIR[,step=N] for a "
    "checkpoint of pretraining"
)
# Tokens of an answer, where a task names no number: as in the harness's own types.
_ANSWER = 256

# One text to score: (context and continuation, or None), ids of the context, of the continuation.
Request = tuple[tuple[str, str] | None, list[int], list[int]]


@dataclass(frozen=True)
class GenerationSettings:
    """How a task wants an answer: where it stops, its length, and how it is sampled."""

    until: tuple[str, ...] = ()
    tokens: int = _ANSWER
    temperature: float = 0.0
    top_p: float = 1.0

    @classmethod
    def of(cls, given: dict[str, Any]) -> GenerationSettings:
        """From a task's generation_kwargs. Raises SeedbedError for one that is not known here."""
        rest = dict(given)
        until = rest.pop("until", None) or ()
        tokens = rest.pop("max_gen_toks", rest.pop("max_new_tokens", _ANSWER))
        temperature = float(rest.pop("temperature", 0.0))
        top_p = float(rest.pop("top_p", 1.0))
        if not rest.pop("do_sample", temperature > 0):
            temperature = 0.0
        if rest:
            raise SeedbedError(
                f"generation_kwargs: {', '.join(sorted(rest))} of the task are not supported",
                "until, max_gen_toks, do_sample, temperature and top_p are; or use --model hf",
            )
        stops = (until,) if isinstance(until, str) else tuple(until)
        return cls(stops, int(tokens), temperature, top_p)


@register_model("seedbed")
class SeedbedLM(TemplateLM):
    """A Hugging Face folder, or a checkpoint of pretraining, computed by transformers.

    pretrained: the folder. output and step: the run of a checkpoint, and its step (0: the newest).
    dtype: fp32 or bf16, empty for the checkpoint's or the folder's own. batch_size: texts computed
    together. max_length: tokens of context and continuation, 0 for the model's own. The rest is
    what the harness hands to every type.

    Raises:
        SeedbedError: for arguments that do not fit each other, and for a folder that hf_folder
            refuses.
    """

    def __init__(
        self,
        pretrained: str = "",
        output: str = "",
        step: int = 0,
        dtype: str = "",
        max_length: int = 0,
        **harness: Any,
    ):
        super().__init__()
        self._exported: tempfile.TemporaryDirectory[str] | None = None
        if bool(pretrained) == bool(output) or dtype not in ("", "fp32", "bf16"):
            told = f"pretrained={pretrained!r}, output={output!r}, dtype={dtype!r}"
            raise SeedbedError(f"--model seedbed: {told}", _ARGUMENTS)
        batch_size = str(harness.pop("batch_size", None) or 1)
        device = str(harness.pop("device", None) or "cuda:0")
        if device.startswith("cuda") and not torch.cuda.is_available():
            # The harness's command line asks for cuda:0 where no device is told.
            print(f"note: {device} is not there; the model runs on the CPU", flush=True)
            device = "cpu"
        harness.pop("max_batch_size", None)
        if harness or not batch_size.isdecimal():
            unknown = ", ".join(harness) or f"batch_size={batch_size}"
            raise SeedbedError(f"--model seedbed does not know {unknown}", _ARGUMENTS)
        self.folder = Path(pretrained) if pretrained else self._export(Path(output), step, dtype)
        model, _ = hf_folder.examine(self.folder)
        if not 0 <= int(max_length) <= model.seq_length:
            raise SeedbedError(
                f"max_length={max_length}, and {self.folder} takes {model.seq_length} tokens",
                "leave it out, or give fewer",
            )
        self.max_length = int(max_length) or model.seq_length
        self.batch_size = int(batch_size)
        self._device = torch.device(device)
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        self._templated = Templated(self.tokenizer)
        self._model = AutoModelForCausalLM.from_pretrained(
            self.folder, dtype=torch_dtype(dtype) if dtype else "auto", local_files_only=True
        )
        self._model.eval().to(self._device)

    def _export(self, run: Path, step: int, dtype: str) -> Path:
        """The folder of a checkpoint, which lives as long as this object."""
        checkpoint = chosen(run / "pretrain" / "checkpoints", int(step))
        source, side, dtype = from_checkpoint.described(checkpoint, run, dtype or None)
        self._exported = tempfile.TemporaryDirectory(prefix="seedbed-lm-eval-")
        folder = Path(self._exported.name) / "hf"
        processes.start(ParallelConfig(), seed=0)
        from_checkpoint.export(source, folder, dtype, side)
        processes.stop()
        return folder

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without a context."""
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else int(begin)

    @property
    def tokenizer_name(self) -> str:
        return str(self.folder).replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        return self._templated.render(chat_history, add_generation_prompt)

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        """Token ids of a text. What it spells stays text, except in a chat template's own words."""
        return self._templated.ids(string, begin=add_special_tokens is not False)

    @torch.no_grad()
    def _loglikelihood_tokens(
        self, requests: Sequence[Request], **_: Any
    ) -> list[tuple[float, bool]]:
        longest_first = sorted(range(len(requests)), key=lambda i: -sum(map(len, requests[i][1:])))
        found: dict[int, tuple[float, bool]] = {}
        cut = 0
        for some in batched(longest_first, self.batch_size):
            whole = [requests[i][1] + requests[i][2] for i in some]
            cut += sum(len(ids) > self.max_length + 1 for ids in whole)
            whole = [ids[-self.max_length - 1 :] for ids in whole]
            logprobs = self._logprobs([ids[:-1] for ids in whole])
            for i, ids, row in zip(some, whole, logprobs, strict=True):
                # No more than the window holds of them.
                count = min(len(requests[i][2]), len(ids) - 1)
                wanted = torch.tensor(ids[-count:], device=row.device)
                rows = row[len(ids) - 1 - count : len(ids) - 1]
                value = float(rows.gather(-1, wanted[:, None]).sum())
                found[i] = value, bool((rows.argmax(-1) == wanted).all())
                text = requests[i][0]
                if text is not None:
                    self.cache_hook.add_partial("loglikelihood", text, found[i])
        self._tell_cut(cut)
        return [found[i] for i in range(len(requests))]

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-probability of each text, in windows that follow each other, each token once."""
        windows: list[Request] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            (text,) = request.args
            pairs = get_rolling_token_windows(
                self.tok_encode(text), self.prefix_token_id, self.max_length, context_len=1
            )
            for pair in pairs:
                windows.append((None, *make_disjoint_window(pair)))
                owners.append(number)
        sums = [0.0] * len(requests)
        for owner, (value, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            sums[owner] += value
        for request, value in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, value)
        return sums

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """An answer to each context, up to the first of its stop texts, which is not in it.

        It ends at the tokens of generation_config.json as well, such as the end of a turn.
        """
        found: dict[int, str] = {}
        groups: dict[GenerationSettings, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(GenerationSettings.of(request.args[1]), []).append(number)
        cut = 0
        for how, numbers in groups.items():
            room = self.max_length - how.tokens
            if room < 1:
                raise SeedbedError(
                    f"an answer of {how.tokens} tokens leaves no room for its context: "
                    f"{self.folder} takes {self.max_length}",
                    f"give --gen_kwargs max_gen_toks={self.max_length // 2}",
                )
            contexts = {n: self.tok_encode(requests[n].args[0]) for n in numbers}
            cut += sum(len(ids) > room for ids in contexts.values())
            for some in batched(sorted(numbers, key=lambda n: -len(contexts[n])), self.batch_size):
                ids = [contexts[n][-room:] or [self.prefix_token_id] for n in some]
                for number, text in zip(some, self._answers(ids, how), strict=True):
                    found[number] = text
                    self.cache_hook.add_partial("generate_until", requests[number].args, text)
        self._tell_cut(cut)
        return [found[number] for number in range(len(requests))]

    def _logprobs(self, rows: list[list[int]]) -> Tensor:
        """Log-probabilities [rows, tokens, vocabulary]; short rows are filled at their end."""
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self._device)
        return torch.log_softmax(self._model(ids, use_cache=False).logits.float(), -1)

    @torch.no_grad()
    def _answers(self, rows: list[list[int]], how: GenerationSettings) -> list[str]:
        width = max(map(len, rows))
        # Filled at their beginning, so that all go on at the same place.
        ids = torch.tensor([[0] * (width - len(row)) + row for row in rows], device=self._device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        sampled = {"temperature": how.temperature, "top_p": how.top_p, "top_k": 0}
        written = self._model.generate(
            ids,
            attention_mask=mask.to(self._device),
            max_new_tokens=how.tokens,
            do_sample=how.temperature > 0,
            pad_token_id=self.eot_token_id,
            **(sampled if how.temperature > 0 else {}),
            **({"stop_strings": list(how.until), "tokenizer": self.tokenizer} if how.until else {}),
        )
        texts = self.tokenizer.batch_decode(written[:, width:], skip_special_tokens=True)
        return [min((text.split(stop)[0] for stop in how.until), key=len, default=text)
                for text in texts]  # fmt: skip

    def _tell_cut(self, count: int) -> None:
        if count:
            print(
                f"note: {count} texts are longer than the {self.max_length} tokens of "
                f"{self.folder} and lost their beginning",
                flush=True,
            )
