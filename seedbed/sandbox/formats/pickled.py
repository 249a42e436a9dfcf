"""Reads the one thing that LiveCodeBench pickles, a text, without running a pickle.

Its private tests are base64 of zlib of a pickle of a JSON text. A pickle is a program, and a file
of problems may come from anywhere. This reader knows the opcodes that make one text, and refuses
any other. The opcodes are those of pickletools (protocols 0 to 5).
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib

# Bytes of one row's private tests, unpacked. LiveCodeBench's largest are some 300 MB.
MOST_BYTES = 1 << 30

_PROTO, _FRAME, _STOP = b"\x80", b"\x95", b"."
# Opcode -> the struct format of the length before a UTF-8 text.
_TEXTS = {b"X": "<I", b"\x8c": "<B", b"\x8d": "<Q"}
# Opcodes that only remember what was made -> the bytes of their argument.
_MEMOS = {b"\x94": 0, b"q": 1, b"r": 4}


def unpacked(packed: str) -> str:
    """The JSON text inside base64, zlib and pickle. Raises ValueError for anything else."""
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(base64.b64decode(packed, validate=True), MOST_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"it is not base64 of zlib ({error})") from None
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError(f"it is cut, or more than {MOST_BYTES:,} bytes")
    return pickled_text(data)


def pickled_text(data: bytes) -> str:
    """The text of a pickle that holds one text and nothing else.

    Raises ValueError for any other pickle.
    """
    try:
        return _pickled_text(data)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"the pickle is cut or damaged ({error})") from None


def _pickled_text(data: bytes) -> str:
    at, found = 0, None
    while at < len(data):
        code, at = data[at : at + 1], at + 1
        if code == _PROTO:
            at += 1
        elif code == _FRAME:
            at += 8
        elif code in _TEXTS and found is None:
            size = struct.calcsize(_TEXTS[code])
            (length,) = struct.unpack_from(_TEXTS[code], data, at)
            at += size
            if length > len(data) - at:
                raise ValueError("the pickle is cut")
            found, at = data[at : at + length].decode("utf-8", "surrogatepass"), at + length
        elif code in _MEMOS and found is not None:
            at += _MEMOS[code]
        elif code == _STOP and found is not None and at == len(data):
            return found
        else:
            raise ValueError(f"the pickle does more than hold one text (opcode {code!r})")
    raise ValueError("the pickle has no end")
