"""A regression head of one output on the last hidden state of a Llama model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm
from transformers import LlamaForSequenceClassification

from conf.schema.pretrain import ScorerConfig
from megatron_train.checkpoint.hf_side_files import document_end
from megatron_train.scorer.labelled_texts import LabelledText


def load_base(base: Path) -> LlamaForSequenceClassification:
    """The model in the folder `base` in fp32, with a new head of one output."""
    model = LlamaForSequenceClassification.from_pretrained(
        base,
        num_labels=1,
        problem_type="regression",
        dtype=torch.float32,
        attn_implementation="sdpa",
    )
    # The model pools the last position that is not padding, so padding must have an id.
    if model.config.pad_token_id is None:
        model.config.pad_token_id = document_end(base) or 0
    return model


def fit(
    base: Path, texts: list[LabelledText], scorer: ScorerConfig, seed: int, what: str
) -> LlamaForSequenceClassification:
    """The base model with a head from ridge regression, then fine-tuned on squared error.

    what: the name of the progress bar.
    """
    torch.manual_seed(seed)
    model = load_base(base)
    labels = torch.tensor([text.label for text in texts], dtype=torch.float64)
    # The head then starts near the scale of the labels.
    with torch.no_grad():
        head = ridge(hidden(model, texts, scorer.batch), labels, scorer.ridge)
        model.score.weight.copy_(head[None].float())
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=scorer.lr, betas=(0.9, 0.95), weight_decay=0.1
    )
    order = [
        i
        for epoch in range(scorer.epochs)
        for i in np.random.default_rng((seed, epoch)).permutation(len(texts))
    ]
    batches = [order[i : i + scorer.batch] for i in range(0, len(order), scorer.batch)]
    model.train()
    for number, batch in enumerate(tqdm(batches, desc=what, mininterval=1, unit="batch")):
        for group in optimizer.param_groups:
            group["lr"] = scorer.lr * (1 - number / len(batches))
        chosen = [texts[i] for i in batch]
        loss = F.mse_loss(
            scores(model, chosen), torch.tensor([e.label for e in chosen], dtype=torch.float32)
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@torch.no_grad()
def predict(
    model: LlamaForSequenceClassification, texts: list[LabelledText], batch: int
) -> np.ndarray:
    """The scores of n texts on [0, 1], float64 [n]."""
    parts = [scores(model, texts[i : i + batch]) for i in range(0, len(texts), batch)]
    return torch.cat(parts).clamp(0, 1).double().numpy()


@torch.no_grad()
def hidden(
    model: LlamaForSequenceClassification, texts: list[LabelledText], batch: int
) -> torch.Tensor:
    """The hidden states that the head reads, in the order of the texts, float64 [n, hidden].

    Texts of like lengths share a batch.
    """
    order = sorted(range(len(texts)), key=lambda i: len(texts[i].ids))
    out = torch.zeros(len(texts), model.config.hidden_size, dtype=torch.float64)
    for i in tqdm(
        range(0, len(order), batch), desc="hidden states", mininterval=1, unit="batch", leave=False
    ):
        part = order[i : i + batch]
        out[part] = _hidden(model, [texts[j] for j in part]).double()
    return out


def ridge(x: torch.Tensor, y: torch.Tensor, penalty: float) -> torch.Tensor:
    """Ridge regression: (X^T X + penalty I)^-1 X^T y, float64 [hidden]."""
    return torch.linalg.solve(
        x.T @ x + penalty * torch.eye(x.size(1), dtype=torch.float64), x.T @ y
    )


def _padded(texts: list[LabelledText], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(text.ids) for text in texts)
    ids = torch.tensor([text.ids + [pad] * (width - len(text.ids)) for text in texts])
    return ids, torch.tensor([len(text.ids) - 1 for text in texts])


def _hidden(model: LlamaForSequenceClassification, texts: list[LabelledText]) -> torch.Tensor:
    """The last hidden state of each text's last token, [n, hidden].

    The head reads it, here and in vLLM's pooler. Padding is on the right, where the earlier tokens
    of a causal model do not see it.
    """
    ids, last = _padded(texts, model.config.pad_token_id)
    return model.model(input_ids=ids, use_cache=False).last_hidden_state[
        torch.arange(len(texts)), last
    ]


def scores(model: LlamaForSequenceClassification, texts: list[LabelledText]) -> torch.Tensor:
    """The output of the head for each text, fp32 [n], with gradient."""
    return model.score(_hidden(model, texts))[:, 0]
