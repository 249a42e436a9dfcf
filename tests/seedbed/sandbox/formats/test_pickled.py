from __future__ import annotations

import base64
import json
import os
import pickle
import zlib

import pytest

from seedbed.sandbox.formats import pickled

TEXT = json.dumps([{"input": "1 \u00e9 \U0001f600", "output": "x" * 700}], ensure_ascii=False)


@pytest.mark.parametrize("protocol", range(1, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", ["", "ab", TEXT, "y" * 70_000])
def test_a_pickled_text_is_read(protocol: int, text: str) -> None:
    assert pickled.pickled_text(pickle.dumps(text, protocol)) == text


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("/tmp/a_pickle_ran",)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Harmful()),
        pickle.dumps(["a"]),
        pickle.dumps(7),
        pickle.dumps(b"ab"),
        # Text on top of which something is called.
        pickle.dumps("ab")[:-1] + b"cos\nsystem\n.",
        pickle.dumps("ab")[:-1],
        pickle.dumps("ab") + b".",
        pickle.dumps("ab" * 200, 4)[:40],
        b"",
        b"\x80",
        b"\x80\x04.",
        b"\x80\x04X\x02\x00\x00\x00\xff\xfe.",
        pickle.dumps("ab")[:-1] + pickle.dumps("cd"),
    ],
)
def test_any_other_pickle_is_refused_and_not_run(data: bytes) -> None:
    with pytest.raises(ValueError, match="pickle"):
        pickled.pickled_text(data)
    assert not os.path.exists("/tmp/a_pickle_ran")


def test_layers_that_are_none_or_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = base64.b64encode(zlib.compress(pickle.dumps("a" * 500))).decode()
    assert pickled.unpacked(packed) == "a" * 500
    for broken in ("?", "YWI=", packed[:-12], f"{packed[:9]}!{packed[9:]}"):
        with pytest.raises(ValueError, match=r"base64 of zlib|cut"):
            pickled.unpacked(broken)
    # All of the text, but without the checksum that ends a stream of zlib.
    unchecked = base64.b64encode(zlib.compress(pickle.dumps("a" * 500))[:-4]).decode()
    with pytest.raises(ValueError, match="it is cut"):
        pickled.unpacked(unchecked)
    monkeypatch.setattr(pickled, "MOST_BYTES", 300)
    with pytest.raises(ValueError, match="more than 300 bytes"):
        pickled.unpacked(packed)
