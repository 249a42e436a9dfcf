"""The job that trains or copies the tokenizer, and the tokenizer that it makes."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from tokenizers import Tokenizer

from conf.errors import SeedbedError
from conf.loader import load
from conf.schema.curate import CurateConfig
from seedbed.kernels.tokens import bpe
from seedbed.kernels.tokens.packing import SPECIAL_TOKENS
from spark_jobs import train_tokenizer
from spark_jobs.runtime.job import Summary, execute
from spark_jobs.runtime.store import Store
from tests.report import tiny

NAMES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
SOURCE = [
    Path(module.__file__ or "").read_text()
    for module in (bpe, train_tokenizer, random, json, hashlib)
]
TOKENIZER_JSON = bpe.train(SOURCE, 600)
TOKENIZER = Tokenizer.from_str(TOKENIZER_JSON)
# As in packing, because SOURCE spells out special tokens.
TOKENIZER.encode_special_tokens = True


def test_the_same_texts_in_any_order_give_the_same_bytes() -> None:
    shuffled = random.Random(3).sample(SOURCE, len(SOURCE))
    assert shuffled != SOURCE
    assert bpe.train(iter(shuffled), 600) == TOKENIZER_JSON


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_exactly(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


def test_layout_comes_back_exactly() -> None:
    for text in (
        "\r\n\r\n\t x \n",
        "    def f():\r        pass  \n\n",
        "\0\x7f\u00a0\u2028\ufeff",
        "e\u0301 \u00e9",
        *SOURCE,
    ):
        assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False).ids) == text


def test_special_tokens_have_the_first_ids_and_the_vocabulary_its_size() -> None:
    assert [TOKENIZER.token_to_id(token) for token in SPECIAL_TOKENS] == list(range(8))
    assert TOKENIZER.get_vocab_size() == 600


def test_each_digit_is_a_token_of_its_own() -> None:
    assert TOKENIZER.encode("x1234567890 1.25", add_special_tokens=False).tokens == [
        *"x1234567890",
        "Ġ",
        *"1.25",
    ]
    assert not [token for token in TOKENIZER.get_vocab() if sum(c.isdigit() for c in token) > 1]


def test_transformers_loads_the_folder_and_writes_chats(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "tokenizer.json").write_text(TOKENIZER_JSON)
    for name, text in bpe.companion_files().items():
        (tmp_path / name).write_text(text)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(loaded, transformers.PreTrainedTokenizerFast)
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id, len(loaded)) == (
        0,
        0,
        1,
        600,
    )
    assert sorted(loaded.all_special_ids) == list(range(8))
    text = "def f(x):\n    return x  # '' . , ?\n"
    ids = loaded(text)["input_ids"]
    assert ids == TOKENIZER.encode(text, add_special_tokens=False).ids
    assert loaded.decode(ids) == text
    turns = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "A"},
    ]
    chat = loaded.apply_chat_template(turns, tokenize=False)
    assert chat == "<|user|>\nS<|end|>\n<|user|>\nQ<|end|>\n<|assistant|>\nA<|end|>\n"
    prompt = loaded.apply_chat_template(turns[:2], tokenize=False, add_generation_prompt=True)
    assert chat.startswith(prompt)
    assert prompt.endswith("<|assistant|>\n")


@pytest.fixture(scope="module")
def store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """12 training documents of 1,000 bytes, and a validation document that must not be learnt."""
    store = Store(lambda: spark, str(tmp_path_factory.mktemp("tokenizer")))
    texts = {f"train-{i}": (SOURCE[0] * 3)[i * 100 : i * 100 + 1000] for i in range(12)} | {
        "val": "zqxj" * 500
    }
    sha = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    contents, documents = [], []
    for name, text in texts.items():
        key = {"content_sha256": sha[name]}
        contents.append({**key, "text": text, "bytes": len(text), "shard": 0})
        document = {
            "document_id": "0" * 64 if name == "val" else sha[name][::-1],
            "parts": [{"path": f"{name}.py", **key}],
            "split": name.split("-")[0],
            "epochs": 1,
            "bytes": len(text),
        }
        documents.append(document)
    tiny.write_table(Path(store.root), "contents", contents)
    tiny.write_table(Path(store.root), "documents", documents)
    return store


def run(store: Store, *overrides: str) -> Summary | None:
    cfg = load(CurateConfig, None, [f"output={store.root}", "tokens.vocab_size=300", *overrides])
    return execute(train_tokenizer.JOB, cfg)


def test_the_job_learns_from_a_bounded_sample_of_training_documents_once(store: Store) -> None:
    summary = run(store, "tokens.train_bytes=5500")
    assert summary is not None
    assert (summary.rows_in, summary.bytes_in) == (5, 5000)
    folder = Path(store.root, "tokens", "tokenizer")
    documents = sorted(
        r.document_id for r in store.read("documents").filter("split = 'train'").collect()
    )[:5]
    texts = [
        r.text for r in store.read("contents").collect() if r.content_sha256[::-1] in documents
    ]
    assert (folder / "tokenizer.json").read_text() == bpe.train(texts, 300)
    assert {p.name for p in folder.iterdir()} == {*NAMES, "lineage.json"}
    assert run(store, "tokens.train_bytes=5500") is None

    assert (summary := run(store, "tokens.train_bytes=1000000")) is not None
    assert summary.rows_in == 12
    assert "zq" not in Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()

    assert (summary := run(store, "tokens.train_bytes=1")) is not None
    # The sample is never empty.
    assert summary.rows_in == 1


def test_a_given_tokenizer_is_copied_whole_and_needs_an_end_for_its_documents(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text(TOKENIZER_JSON)
    with pytest.raises(SeedbedError, match=r"lacks tokenizer_config\.json"):
        run(store, f"tokens.tokenizer={tmp_path}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    summary = run(store, f"tokens.tokenizer={tmp_path}")
    assert summary is not None
    assert Path(store.root, "tokens", "tokenizer", "tokenizer.json").read_text() == TOKENIZER_JSON
    assert run(store, f"tokens.tokenizer={tmp_path}") is None
    # transformers writes the chat template to a file of its own.
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert run(store, f"tokens.tokenizer={tmp_path}") is not None
    copied = Path(store.root, "tokens", "tokenizer", "chat_template.jinja")
    assert copied.read_text() == "{{ messages }}"
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "tokenizer.json").write_text(TOKENIZER_JSON.replace("<|pad|>", "<|fill|>"))
    assert run(store, f"tokens.tokenizer={tmp_path}") is not None
    assert not copied.exists()
    endless = TOKENIZER_JSON.replace("<|endoftext|>", "<|stop|>")
    (tmp_path / "tokenizer.json").write_text(endless)
    with pytest.raises(SeedbedError, match="no token of ours for: end"):
        run(store, f"tokens.tokenizer={tmp_path}")
    with pytest.raises(SeedbedError, match=r"has no <\|halt\|>"):
        run(store, f"tokens.tokenizer={tmp_path}", "tokens.special.end=<|halt|>")
    assert run(store, f"tokens.tokenizer={tmp_path}", "tokens.special.end=<|stop|>") is not None


def test_a_vocabulary_too_small_for_all_bytes_shows_the_sum(store: Store) -> None:
    with pytest.raises(
        SeedbedError, match=r"vocab_size=263 is below 256 bytes \+ 8 special tokens = 264"
    ):
        run(store, "tokens.vocab_size=263")
