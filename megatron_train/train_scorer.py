"""DIR/hf, oracle's labels -> DIR/scorers/NAME: make the trained model a judge of code.

    python -m megatron_train.train_scorer --config conf/pretrain/demo.yaml output=DIR
    python -m megatron_train.train_scorer output=DIR scorer.base=FOLDER scorer.name=NAME \\
        scorer.epochs=0 scorer.ridge=100

It reads the tables labels, contents and files of DIR and a Llama folder, DIR/hf or scorer.base. It
writes a LlamaForSequenceClassification folder, which transformers and vLLM's pooling runner load,
and scorer.json. A file is judged by its leading max_tokens tokens, without special tokens. The
output is the quality on [0, 1], label / 10, and is to be clipped.

The error is measured on repositories that were held out. Then the scorer that is written learns
from all of them. With scorer.epochs=0 the model stays as it is under a ridge head. This cheap
baseline makes one pass over the files, and every repository is held out once.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaForSequenceClassification
from transformers.utils import logging as transformers_logging

from conf.errors import SeedbedError, run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.pretrain import PretrainConfig, ScorerConfig, check_scorer
from megatron_train.checkpoint import hf_config, hf_folder
from megatron_train.scorer.head import fit, hidden, load_base, predict, ridge
from megatron_train.scorer.labelled_texts import (
    LabelledText,
    errors,
    folds,
    held_out_repos,
    read_labelled_texts,
    too_few,
)
from seedbed.files import copy_tokenizer, fresh_partial, replace_folder

# The scorer, and what was measured on repositories that it had not seen.
Fitted = tuple[LlamaForSequenceClassification, dict[str, Any]]


def main(argv: list[str]) -> int:
    args = cli_parser("megatron_train.train_scorer", __doc__).parse_args(argv)
    cfg = load(PretrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    run, scorer = Path(cfg.output), cfg.scorer
    base = base_of(cfg)
    # It would report that the language head is gone and the score head is new.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    began = time.perf_counter()
    texts = read_labelled_texts(run, base, scorer)
    model, facts = (
        frozen(base, texts, scorer, cfg.seed)
        if scorer.epochs == 0
        else tuned(base, texts, scorer, cfg.seed)
    )
    print(
        f"{facts['measured']}: MAE {facts['mae']:.2f} of 10, "
        f"cMAE {facts['cmae']:.2f} (guessing the mean: {facts['mae_of_the_mean']:.2f}), "
        f"Spearman {facts['spearman']:.2f}, "
        f"zeros found {facts['zero_recall']:.0%}",
        flush=True,
    )
    for name, m in sorted(facts["by_language"].items(), key=lambda item: -item[1]["files"]):
        print(
            f"  {name:<20}{m['files']:>5} files  MAE {m['mae']:.2f}  Spearman {m['spearman']:.2f}",
            flush=True,
        )
    folder = run / "scorers" / scorer.name
    version = write(model, base, folder, scorer, {**facts, "labels": len(texts)})
    print(f"{folder}: scorer {version}, {time.perf_counter() - began:.0f} s")
    return 0


def base_of(cfg: PretrainConfig) -> Path:
    """The folder of the model under the head.

    Raises SeedbedError where it holds no Llama, or one that cannot read scorer.max_tokens.
    """
    base = Path(cfg.scorer.base) if cfg.scorer.base else Path(cfg.output) / "hf"
    if not (base / "config.json").is_file():
        fix = (
            "give a Hugging Face folder"
            if cfg.scorer.base
            else "pretrain first: DIR/hf is written at the end"
        )
        raise SeedbedError(f"{base} holds no model", f"{fix}, or set scorer.base")
    model, _ = hf_config.model_config(base)
    if model.family != "llama":
        raise SeedbedError(
            f"{base} is a {model.family} model: a scorer is a LlamaForSequenceClassification",
            "give a Llama folder",
        )
    check_scorer(cfg.scorer, model.seq_length, str(base))
    hf_folder.examine(base)
    return base


def tuned(base: Path, texts: list[LabelledText], scorer: ScorerConfig, seed: int) -> Fitted:
    """A scorer all of whose weights learn.

    The error is that of another fit, which did not see the held-out repositories.
    """
    held = held_out_repos([text.repo for text in texts], scorer.holdout, seed)
    fitting = [text for text in texts if text.repo not in held]
    testing = [text for text in texts if text.repo in held]
    if not fitting or not testing:
        raise too_few(texts)
    predicted = predict(fit(base, fitting, scorer, seed, "held-out fit"), testing, scorer.batch)
    mean = float(np.mean([text.label for text in fitting]))
    facts = errors(testing, predicted, np.full(len(testing), mean))
    facts["measured"] = f"{len(testing)} files of {len(held)} held-out repositories"
    facts["held_out_repos"] = sorted(held)
    return fit(base, texts, scorer, seed, "fit on all"), facts


def frozen(base: Path, texts: list[LabelledText], scorer: ScorerConfig, seed: int) -> Fitted:
    """A scorer of which the head alone learns.

    The error is by cross-validation over groups of repositories.
    """
    model = load_base(base).eval()
    features, labels = (
        hidden(model, texts, scorer.batch),
        np.array([text.label for text in texts]),
    )
    groups = folds([text.repo for text in texts], seed)
    if len(np.unique(groups)) < 2:
        raise too_few(texts)
    predicted, mean = np.zeros(len(texts)), np.zeros(len(texts))
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
    facts = errors(texts, predicted, mean)
    facts["measured"] = (
        f"{len(texts)} files, {len(np.unique(groups))} folds over "
        f"{len({text.repo for text in texts})} repositories"
    )
    return model, facts


def write(
    model: LlamaForSequenceClassification,
    base: Path,
    folder: Path,
    scorer: ScorerConfig,
    facts: dict[str, Any],
) -> str:
    """Write the scorer's folder whole, and return its version.

    The version names these very weights: NAME-<8 hex digits of their hash>.
    """
    partial = fresh_partial(folder)
    model.save_pretrained(partial)
    copy_tokenizer(base, partial)
    weights = hashlib.sha256((partial / "model.safetensors").read_bytes()).hexdigest()
    version = f"{scorer.name}-{weights[:8]}"
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


if __name__ == "__main__":
    run_cli(main)
