"""Errors of candidates for the scorer, by cross-validation over repositories.

    python benchmarks/scoring.py output=runs/demo [--lm FOLDER]

output: a run whose tables hold contents, files and labels. --lm: a Hugging Face folder whose frozen
hidden states are tried too, computed once per file (SmolLM2-135M: about 6 CPU minutes).

Every candidate sees the same folds. The last table holds out whole languages instead; these labels
have nothing nearer to files of another kind. Settings were chosen on the same folds and rounded
where the error is flat around the best. So all figures are slightly optimistic, and equally so.
"""

from __future__ import annotations

import argparse
import itertools
import re
import zlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from seedbed.kernels.models import regression
from seedbed.kernels.models.agreement import agreement, intervals
from seedbed.kernels.source_code import generated, structure
from seedbed.tables.reader import DeltaReader
from spark_jobs.quality.structural_scorer import ROBUST, quality_of, targets

# From training x, training y and test x to test predictions.
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
# The settings that fit_scorer chooses on the shipped labels.
WIDTH, PENALTY = 0.5, 0.03
GRAM_BUCKETS = 1 << 14
# Of 30 layers. It has the best MAE of layers 8, 10, 14, 18, 20, 24, 26 and 30.
LAYER = 14
# Leading tokens; the default of train_scorer.
WINDOW = 256


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", metavar="output=DIR")
    parser.add_argument("--lm", metavar="FOLDER")
    args = parser.parse_args()
    rows = DeltaReader(args.output.removeprefix("output=")).sql(
        "SELECT l.content_sha256, l.score, l.second_score, c.text, c.language, min(f.repo) AS repo "
        "FROM labels l JOIN contents c USING (content_sha256) JOIN files f USING (content_sha256) "
        "WHERE l.score IS NOT NULL AND f.drop_reason IS NULL GROUP BY ALL ORDER BY 1"
    )
    texts, score = pa.array([row["text"] for row in rows]), np.array([row["score"] for row in rows])
    languages, repos = [row["language"] for row in rows], [row["repo"] for row in rows]
    x, grams = structure.features(texts, languages), token_grams(texts)
    marked = generated.is_generated(texts)
    middle, last = frozen_states(args.lm, texts) if args.lm else (None, None)
    nothing = np.zeros(len(score), bool)

    def candidates(fold: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions (n,) by name, on the label scale."""

        def held_out(matrix: np.ndarray, fit: Fit, rule: np.ndarray) -> np.ndarray:
            out = np.zeros(len(score))
            for held in np.unique(fold):
                train, test = (fold != held) & ~rule, (fold == held) & ~rule
                out[test] = np.clip(fit(matrix[train], score[train] / 10, matrix[test]), 0, 1) * 10
            return out

        found = {
            "mean of labels": np.full(len(score), score.mean()),
            "structure, linear ridge": held_out(x, linear, nothing),
            "structure, kernel ridge": held_out(x, laplacian, nothing),
            "token n-grams, linear ridge": held_out(grams, dual_ridge, nothing),
            "rule + structure, linear ridge": held_out(x, linear, marked),
            "rule + structure, kernel ridge": held_out(x, laplacian, marked),
            "rule + two stages of it (ships)": held_out(x, two_stages, marked),
            "rule + token n-grams": held_out(grams, dual_ridge, marked),
        }
        shipped = found["rule + two stages of it (ships)"]
        found["mean of the last with the shipped one"] = (
            shipped + found["rule + token n-grams"]
        ) / 2
        if middle is not None:
            found["LM, last token, ridge"] = held_out(last, dual_ridge, nothing)
            found["rule + LM, last token, ridge"] = held_out(last, dual_ridge, marked)
            found["rule + LM, mean of a middle layer"] = held_out(middle, dual_ridge, marked)
            found["20% of the last + 80% shipped"] = (
                0.2 * found["rule + LM, mean of a middle layer"] + 0.8 * shipped
            )
            both = np.hstack([x, components(middle)])
            found["shipped on features + 16 of the LM's"] = held_out(both, two_stages, marked)
        return found

    print(
        f"{len(rows)} labels, {len(set(repos))} repositories, "
        f"{marked.sum()} files marked as generated"
    )
    print(f"of which labelled 0: {(score[marked] == 0).sum()}\n")
    by_repo = candidates(regression.group_folds(repos, 10))
    print(header("held out: repositories"))
    for name, predicted in by_repo.items():
        print(line(name, score, predicted, repos))
    second = np.array(
        [np.nan if row["second_score"] is None else row["second_score"] for row in rows]
    )
    twice = ~np.isnan(second)
    print(
        line(
            f"oracle, second reading ({twice.sum()})",
            score[twice],
            second[twice],
            list(np.array(repos)[twice]),
        )
    )
    shipped = by_repo["rule + two stages of it (ships)"]
    print(
        line(
            "shipped on the same files", score[twice], shipped[twice], list(np.array(repos)[twice])
        )
    )

    names = np.array([str(language) for language in languages])
    by_language = candidates(np.unique(names, return_inverse=True)[1])
    judged = {
        "shipped": shipped,
        "shipped, language held out": by_language["rule + two stages of it (ships)"],
    }
    if args.lm:
        judged["rule + LM, mean of a middle layer"] = by_repo["rule + LM, mean of a middle layer"]
    for title, predicted in judged.items():
        print("\n" + header(f"by language: {title}"))
        for name, count in sorted(
            zip(*np.unique(names, return_counts=True), strict=True), key=lambda item: -item[1]
        ):
            print(line(f"{name} ({count})", score[names == name], predicted[names == name]))

    print("\n" + header("held out: languages"))
    for name, predicted in by_language.items():
        print(line(name, score, predicted, repos))


def header(title: str) -> str:
    return (
        f"{title:<42}{'MAE':>6} {'95%':>11}{'cMAE':>7} {'95%':>11}{'Spearman':>10}"
        f"{'within 1':>10}{'zeros found':>13}"
    )


def line(
    name: str, score: np.ndarray, predicted: np.ndarray, groups: list[str] | None = None
) -> str:
    m = agreement(score, predicted)
    spans = intervals(score, predicted, groups) if groups else {}
    told = {
        key: f"{spans[key][0]:.2f}-{spans[key][1]:.2f}" if spans else "" for key in ("mae", "cmae")
    }
    return (
        f"{name:<42}{m['mae']:>6.2f} {told['mae']:>11}{m['cmae']:>7.2f} {told['cmae']:>11}"
        f"{m['spearman']:>10.2f}{m['within_1']:>10.0%}{m['zero_recall']:>13.0%}"
    )


def laplacian(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    return regression.fit(x, y[:, None], WIDTH, PENALTY, structure.SCALES).predict(test)[:, 0]


def linear(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    weights, intercept = regression.linear_ridge(x, y, 30.0)
    return regression.standardise(test, *regression.moments(x)) @ weights + intercept


def two_stages(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    scale = np.pad(structure.SCALES, (0, x.shape[1] - len(structure.SCALES)), constant_values=1.0)
    return quality_of(
        regression.fit(x, targets(y * 10), WIDTH, PENALTY, scale, ROBUST).predict(test)
    )


def dual_ridge(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Linear ridge for more features than rows; the penalty is the mean squared length of a row."""
    centre = x.mean(axis=0)
    # Counts are scaled already.
    spread = np.where((s := x.std(axis=0)) > 0, s, 1.0) if x.shape[1] < 10_000 else 1.0
    a, b = (x - centre) / spread, (test - centre) / spread
    gram = a @ a.T
    return (
        b
        @ (
            a.T
            @ np.linalg.solve(gram + np.trace(gram) / len(gram) * np.eye(len(gram)), y - y.mean())
        )
        + y.mean()
    )


def token_grams(texts: pa.Array) -> np.ndarray:
    """Hashed counts of tokens and pairs of tokens, float32 (n, GRAM_BUCKETS).

    Each row holds square roots and has length 1.
    """
    out = np.zeros((len(texts), GRAM_BUCKETS), np.float32)
    for row, text in enumerate(texts.to_pylist()):
        tokens = re.findall(r"\w+|[^\w\s]", text[:50_000])
        for gram in [*tokens, *(f"{a} {b}" for a, b in itertools.pairwise(tokens))]:
            out[row, zlib.crc32(gram.encode()) % GRAM_BUCKETS] += 1
    out = np.sqrt(out)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def components(states: np.ndarray, count: int = 16) -> np.ndarray:
    """The first principal components, (n, count), with unit variance.

    All rows may enter, because no label does.
    """
    centred = (states - states.mean(axis=0)) / np.maximum(states.std(axis=0), 1e-9)
    return np.linalg.svd(centred, full_matrices=False)[0][:, :count] * np.sqrt(len(states))


def frozen_states(folder: str, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays (n, hidden) over the first WINDOW tokens of each text.

    The first is the mean of layer LAYER. The second is the last token after the last layer, which
    the head of train_scorer reads.
    """
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    ids = [
        tokenizer.encode(t[: 16 * WINDOW], add_special_tokens=False).ids[:WINDOW] or [0]
        for t in texts.to_pylist()
    ]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    middle, last = (np.zeros((len(ids), model.config.hidden_size)) for _ in range(2))
    with torch.inference_mode():
        for i in range(0, len(order), 8):
            batch = order[i : i + 8]
            width = max(len(ids[j]) for j in batch)
            tokens = torch.tensor([ids[j] + [0] * (width - len(ids[j])) for j in batch])
            states = model(
                input_ids=tokens, use_cache=False, output_hidden_states=True
            ).hidden_states
            for place, j in enumerate(batch):
                middle[j] = states[LAYER][place, : len(ids[j])].float().mean(dim=0).numpy()
                last[j] = states[-1][place, len(ids[j]) - 1].float().numpy()
    return middle, last


if __name__ == "__main__":
    main()
