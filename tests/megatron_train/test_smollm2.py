"""SmolLM2-135M is imported, trained on in TP 3 x PP 2 and exported, and three programs agree.

It has tied embeddings and grouped queries. python scripts/fetch_smollm2.py fetches the weights;
without them these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.megatron_train import tiny

FOLDER = Path(os.environ.get("SEEDBED_SMOLLM2", tiny.ROOT / "downloads" / "smollm2"))
TEXTS = (
    "def fibonacci(n):\n    if n < 2:\n        return n\n"
    "    return fibonacci(n - 1) + fibonacci(n - 2)\n",
    "The quick brown fox jumps over the lazy dog, and 1234 other animals watched it from the far "
    "side of the river.",
)
LENGTH = 25
# Log-probabilities of three fp32 programs over 30 layers; the largest difference seen was 2.6e-5.
TOLERANCE = 1e-4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (FOLDER / "model.safetensors").is_file(),
        reason="python scripts/fetch_smollm2.py has not been run",
    ),
]


@pytest.fixture(scope="module")
def ids() -> list[list[int]]:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(FOLDER / "tokenizer.json"))
    return [tokenizer(text, add_special_tokens=False)["input_ids"][:LENGTH] for text in TEXTS]


@pytest.fixture(scope="module")
def trained(ids, tmp_path_factory):
    out = tmp_path_factory.mktemp("smollm2")
    script = str(Path(__file__).with_name("smollm2_worker.py"))
    tiny.launch(6, script, str(FOLDER), str(out), json.dumps(ids), timeout=900)
    return json.loads((out / "seen.json").read_text()), out / "hf"


def transformers_logprobs(folder: Path, ids: list[list[int]]) -> torch.Tensor:
    from transformers import LlamaForCausalLM

    tokens = torch.tensor(ids)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logprobs = model(tokens[:, :-1]).logits.log_softmax(-1)
    return logprobs.gather(-1, tokens[:, 1:, None])[..., 0]


def test_imported_weights_have_transformers_log_probabilities(trained, ids):
    ours = torch.tensor(trained[0]["imported"])
    torch.testing.assert_close(ours, transformers_logprobs(FOLDER, ids), rtol=0, atol=TOLERANCE)


def test_training_goes_on_and_the_export_has_the_trained_model_s_log_probabilities(trained, ids):
    seen, folder = trained
    assert seen["losses"][2] < seen["losses"][0]
    ours = torch.tensor(seen["trained"])
    # Three steps change the log-probabilities visibly.
    assert (ours - torch.tensor(seen["imported"])).abs().max() > 10 * TOLERANCE
    torch.testing.assert_close(ours, transformers_logprobs(folder, ids), rtol=0, atol=TOLERANCE)


def test_vllm_agrees_on_every_token(trained, ids, tmp_path):
    seen, folder = trained
    out = tmp_path / "vllm.json"
    code = f"""
import json
from vllm import LLM, SamplingParams
llm = LLM({str(folder)!r}, dtype="float32", enforce_eager=True, max_model_len=64)
asked = [{{"prompt_token_ids": one}} for one in {ids!r}]
done = llm.generate(asked, SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0))
rows = [[found[token].logprob for token, found in
         zip(one.prompt_token_ids[1:], one.prompt_logprobs[1:])] for one in done]
json.dump(rows, open({str(out)!r}, "w"))
"""
    environment = tiny.environment() | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=900
    )
    assert out.is_file(), done.stderr[-3000:]
    torch.testing.assert_close(
        torch.tensor(json.loads(out.read_text())),
        torch.tensor(seen["trained"]),
        rtol=0,
        atol=TOLERANCE,
    )
