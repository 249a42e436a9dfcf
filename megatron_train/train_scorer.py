"""Make the trained model a judge of code: a regression head on DIR/hf, learnt from the oracle's
labels.

    python -m megatron_train.train_scorer --config conf/pretrain/demo.yaml output=DIR
    python -m megatron_train.train_scorer output=DIR scorer.base=FOLDER scorer.name=NAME scorer.epochs=0 scorer.ridge=100

Reads the tables labels, contents and files of DIR and a Llama folder, DIR/hf or scorer.base; writes
DIR/scorers/<name>: a LlamaForSequenceClassification folder that transformers and vLLM's pooling
runner load, and scorer.json. A file is judged by its leading max_tokens tokens, no special tokens
added; the output is quality on [0, 1], label / 10, to be clipped. The error is measured on
repositories that were held out, then the scorer that is written learns from all of them. With
scorer.epochs=0
the model stays as it is under a ridge head, the cheap baseline: one pass over the files, and every
repository is held out once.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as arrow
import torch
import torch.nn.functional as F
from deltalake import DeltaTable
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import LlamaForSequenceClassification
from transformers.utils import logging as transformers_logging

from conf.errors import SeedbedError, run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.pretrain import PretrainConfig, ScorerConfig
from seedbed.files import copy_tokenizer, fresh_partial, replace_folder
from seedbed.kernels.models import agreement

FOLDS = 5


@dataclass(frozen=True)
class Example:
    ids: list[int]
    # on [0, 1]
    label: float
    repo: str
    language: str


def main(argv: list[str]) -> int:
    args = cli_parser("megatron_train.train_scorer", __doc__).parse_args(argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    run, scorer = Path(cfg.output), cfg.scorer
    base = base_of(cfg)
    # it reports that the language head is gone and the score head is new
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    began = time.perf_counter()
    examples = read_examples(run, base, scorer)
    model, facts = (
        frozen(base, examples, scorer, cfg.seed)
        if scorer.epochs == 0
        else tuned(base, examples, scorer, cfg.seed)
    )
    print(
        f"{facts['measured']}: MAE {facts['mae']:.2f} of 10, "
        f"cMAE {facts['cmae']:.2f} (guessing the mean: {facts['mae_of_the_mean']:.2f}), Spearman {facts['spearman']:.2f}, "
        f"zeros found {facts['zero_recall']:.0%}",
        flush=True,
    )
    for name, m in sorted(facts["by_language"].items(), key=lambda item: -item[1]["files"]):
        print(
            f"  {name:<20}{m['files']:>5} files  MAE {m['mae']:.2f}  Spearman {m['spearman']:.2f}",
            flush=True,
        )
    folder = run / "scorers" / scorer.name
    version = write(model, base, folder, scorer, {**facts, "labels": len(examples)})
    print(f"{folder}: scorer {version}, {time.perf_counter() - began:.0f} s")
    return 0


def base_of(cfg: PretrainConfig) -> Path:
    """The model folder under the head. Raises SeedbedError where it holds no Llama."""
    base = Path(cfg.scorer.base) if cfg.scorer.base else Path(cfg.output) / "hf"
    if not (base / "config.json").is_file():
        fix = (
            "give a Hugging Face folder"
            if cfg.scorer.base
            else "pretrain first: DIR/hf is written at the end"
        )
        raise SeedbedError(f"{base} holds no model", f"{fix}, or set scorer.base")
    kind = json.loads((base / "config.json").read_text()).get("model_type")
    if kind != "llama":
        raise SeedbedError(
            f"{base} is a {kind} model: a scorer is a LlamaForSequenceClassification",
            "give a Llama folder",
        )
    return base


Fitted = tuple[
    LlamaForSequenceClassification, dict[str, Any]
    # the scorer, and what was measured on other repositories
]


def tuned(base: Path, examples: list[Example], scorer: ScorerConfig, seed: int) -> Fitted:
    """All weights learn.

    The error is that of another fit, which did not see the held-out repositories.
    """
    held = held_out_repos([example.repo for example in examples], scorer.holdout, seed)
    fitting = [example for example in examples if example.repo not in held]
    testing = [example for example in examples if example.repo in held]
    if not fitting or not testing:
        raise _too_few(examples)
    predicted = predict(fit(base, fitting, scorer, seed, "held-out fit"), testing, scorer.batch)
    mean = float(np.mean([example.label for example in fitting]))
    facts = errors(testing, predicted, np.full(len(testing), mean))
    facts["measured"] = f"{len(testing)} files of {len(held)} held-out repositories"
    facts["held_out_repos"] = sorted(held)
    return fit(base, examples, scorer, seed, "fit on all"), facts


def frozen(base: Path, examples: list[Example], scorer: ScorerConfig, seed: int) -> Fitted:
    """The head alone learns. The error is by cross-validation over FOLDS groups of repositories."""
    model = load_base(base).eval()
    features, labels = (
        hidden(model, examples, scorer.batch),
        np.array([example.label for example in examples]),
    )
    groups = folds([example.repo for example in examples], seed)
    if len(np.unique(groups)) < 2:
        raise _too_few(examples)
    predicted, mean = np.zeros(len(examples)), np.zeros(len(examples))
    for group in np.unique(groups):
        train, test = torch.from_numpy(groups != group), groups == group
        head = ridge(features[train], torch.from_numpy(labels)[train], scorer.ridge)
        predicted[test], mean[test] = (
            (features[~train] @ head).clamp(0, 1).numpy(),
            labels[groups != group].mean(),
        )
    with torch.no_grad():
        model.score.weight.copy_(
            ridge(features, torch.from_numpy(labels), scorer.ridge)[None].float()
        )
    facts = errors(examples, predicted, mean)
    facts["measured"] = (
        f"{len(examples)} files, {len(np.unique(groups))} folds over {len({e.repo for e in examples})} repositories"
    )
    return model, facts


def errors(examples: list[Example], predicted: np.ndarray, guess: np.ndarray) -> dict[str, Any]:
    """On the labels' scale of 0 to 10, with 95 % intervals by resampling whole repositories, and by
    language.

    guess: the mean that was known for each.
    """
    labels, scores = np.array([10 * example.label for example in examples]), 10 * predicted
    languages = np.array([example.language for example in examples])
    return {
        **agreement.agreement(labels, scores),
        "mae_of_the_mean": round(agreement.mae(labels, 10 * guess), 4),
        "intervals": agreement.intervals(labels, scores, [example.repo for example in examples]),
        "by_language": {
            name: agreement.agreement(labels[languages == name], scores[languages == name])
            for name in sorted(set(languages))
        },
    }


def read_examples(run: Path, base: Path, scorer: ScorerConfig) -> list[Example]:
    """The labelled contents with one repository each (the first by name, where several hold the
    content), in order of hash.
    """
    # not every answer held a rating
    rated = (arrow.field("oracle") == scorer.oracle) & arrow.field("score").is_valid()
    labels = _rows(run, "labels", ["content_sha256", "score"], rated)
    if not labels:
        raise SeedbedError(
            f"{run / 'tables/labels'} has no labels of oracle {scorer.oracle}",
            "run the job label_quality",
        )
    score = {row["content_sha256"]: row["score"] for row in labels}
    wanted = arrow.field("content_sha256").isin(list(score))
    repos: dict[str, str] = {}
    for row in _rows(run, "files", ["content_sha256", "repo"], wanted):
        key = row["content_sha256"]
        repos[key] = min(repos.get(key, row["repo"]), row["repo"])
    contents = {
        row["content_sha256"]: row
        for row in _rows(run, "contents", ["content_sha256", "text", "language"], wanted)
    }
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    examples = []
    for key, row in sorted(contents.items()):
        ids = tokenizer.encode(row["text"], add_special_tokens=False).ids[: scorer.max_tokens]
        if ids:
            examples.append(Example(ids, score[key] / 10, repos.get(key, ""), str(row["language"])))
    return examples


def held_out_repos(repos: list[str], share: float, seed: int) -> set[str]:
    """Whole repositories, in an order drawn from the seed, until they hold `share` of the files."""
    order = sorted(set(repos), key=lambda repo: hashlib.sha256(f"{seed}:{repo}".encode()).digest())
    held: set[str] = set()
    for repo in order:
        if sum(r in held for r in repos) >= share * len(repos):
            break
        held.add(repo)
    return held


def folds(repos: list[str], seed: int) -> np.ndarray:
    """A number below FOLDS for each file: whole repositories in an order drawn from the seed, each
    to the smallest so far.
    """
    order = sorted(set(repos), key=lambda repo: hashlib.sha256(f"{seed}:{repo}".encode()).digest())
    sizes, fold = [0] * FOLDS, {}
    for repo in order:
        fold[repo] = sizes.index(min(sizes))
        sizes[fold[repo]] += repos.count(repo)
    return np.array([fold[repo] for repo in repos])


def load_base(base: Path) -> LlamaForSequenceClassification:
    """The model in `base` in fp32, with a new head of one output."""
    model = LlamaForSequenceClassification.from_pretrained(
        base,
        num_labels=1,
        problem_type="regression",
        dtype=torch.float32,
        attn_implementation="sdpa",
    )
    # the pooled place is the last one that is not padding
    if model.config.pad_token_id is None:
        model.config.pad_token_id = (
            model.config.eos_token_id if model.config.eos_token_id is not None else 0
        )
    return model


def fit(
    base: Path, examples: list[Example], scorer: ScorerConfig, seed: int, what: str
) -> LlamaForSequenceClassification:
    """The base model with a head fitted by ridge regression, then all of it fine-tuned on squared
    error.
    """
    torch.manual_seed(seed)
    model = load_base(base)
    labels = torch.tensor([example.label for example in examples], dtype=torch.float64)
    # a head that starts near the labels' scale
    with torch.no_grad():
        head = ridge(hidden(model, examples, scorer.batch), labels, scorer.ridge)
        model.score.weight.copy_(head[None].float())
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=scorer.lr, betas=(0.9, 0.95), weight_decay=0.1
    )
    order = [
        i
        for epoch in range(scorer.epochs)
        for i in np.random.default_rng((seed, epoch)).permutation(len(examples))
    ]
    batches = [order[i : i + scorer.batch] for i in range(0, len(order), scorer.batch)]
    model.train()
    for number, batch in enumerate(tqdm(batches, desc=what, mininterval=1, unit="batch")):
        for group in optimizer.param_groups:
            group["lr"] = scorer.lr * (1 - number / len(batches))
        chosen = [examples[i] for i in batch]
        loss = F.mse_loss(
            _scores(model, chosen), torch.tensor([e.label for e in chosen], dtype=torch.float32)
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@torch.no_grad()
def predict(
    model: LlamaForSequenceClassification, examples: list[Example], batch: int
) -> np.ndarray:
    """Scores on [0, 1], float64 [n]."""
    parts = [_scores(model, examples[i : i + batch]) for i in range(0, len(examples), batch)]
    return torch.cat(parts).clamp(0, 1).double().numpy()


def write(
    model: LlamaForSequenceClassification,
    base: Path,
    folder: Path,
    scorer: ScorerConfig,
    facts: dict[str, Any],
) -> str:
    """Put the folder in place whole.

    The version names these very weights: name-<8 hex digits of their hash>.
    """
    partial = fresh_partial(folder)
    model.save_pretrained(partial)
    copy_tokenizer(base, partial)
    version = f"{scorer.name}-{hashlib.sha256((partial / 'model.safetensors').read_bytes()).hexdigest()[:8]}"
    base_hash = hashlib.sha256((base / "config.json").read_bytes()).hexdigest()[:16]
    card = {
        "kind": "language_model",
        "version": version,
        "base": str(base),
        "base_config_sha256": base_hash,
        "frozen": scorer.epochs == 0,
        "max_tokens": scorer.max_tokens,
        "oracle": scorer.oracle,
        **facts,
    }
    (partial / "scorer.json").write_text(json.dumps(card, indent=2) + "\n")
    replace_folder(partial, folder)
    return version


def _rows(run: Path, table: str, columns: list[str], where: Any) -> list[dict[str, Any]]:
    path = run / "tables" / table
    if not path.is_dir():
        raise SeedbedError(
            f"table {path} does not exist",
            "curate first: python -m spark_jobs run --config ... output=DIR",
        )
    return (
        DeltaTable(str(path))
        .to_pyarrow_dataset()
        .to_table(columns=columns, filter=where)
        .to_pylist()
    )


def _padded(examples: list[Example], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(example.ids) for example in examples)
    ids = torch.tensor([example.ids + [pad] * (width - len(example.ids)) for example in examples])
    return ids, torch.tensor([len(example.ids) - 1 for example in examples])


def _hidden(model: LlamaForSequenceClassification, examples: list[Example]) -> torch.Tensor:
    """The last hidden state of each example's last token, [n, hidden]: what the head reads, here
    and in vLLM's pooler.

    Padding is on the right, where a causal model's earlier tokens do not see it.
    """
    ids, last = _padded(examples, model.config.pad_token_id)
    return model.model(input_ids=ids, use_cache=False).last_hidden_state[
        torch.arange(len(examples)), last
    ]


def _scores(model: LlamaForSequenceClassification, examples: list[Example]) -> torch.Tensor:
    return model.score(_hidden(model, examples))[:, 0]


@torch.no_grad()
def hidden(
    model: LlamaForSequenceClassification, examples: list[Example], batch: int
) -> torch.Tensor:
    """_hidden of all examples in their order, float64 [n, hidden]; like lengths share a batch."""
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    out = torch.zeros(len(examples), model.config.hidden_size, dtype=torch.float64)
    for i in tqdm(
        range(0, len(order), batch), desc="hidden states", mininterval=1, unit="batch", leave=False
    ):
        part = order[i : i + batch]
        out[part] = _hidden(model, [examples[j] for j in part]).double()
    return out


def ridge(x: torch.Tensor, y: torch.Tensor, penalty: float) -> torch.Tensor:
    """(X^T X + penalty I)^-1 X^T y, float64 [hidden]."""
    return torch.linalg.solve(
        x.T @ x + penalty * torch.eye(x.size(1), dtype=torch.float64), x.T @ y
    )


def _too_few(examples: list[Example]) -> SeedbedError:
    return SeedbedError(
        f"{len(examples)} labelled files of {len({e.repo for e in examples})} repositories cannot be split into two parts",
        "label files of more repositories, or change scorer.holdout",
    )


if __name__ == "__main__":
    run_cli(main)
