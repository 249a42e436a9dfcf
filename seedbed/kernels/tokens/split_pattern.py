"""Which patterns cut a text into the same words under Oniguruma and under Rust's fancy-regex.

Hugging Face's `tokenizers` cuts by the first, tiktoken by the second. Both take the first
alternative that matches, and repeat greedily with backtracking. They agree on what is accepted
here, and tests/seedbed/kernels/tokens/ shows it on every code point and on drawn patterns:

- alternatives of characters, `\\s`, letters, marks, numbers and classes of them, each repeated at
  most once by `?`, `*`, `+`, `{n}` or `{1,n}`;
- the usual groups of English contractions, as a whole;
- as the last two alternatives `\\s+(?!\\S)|\\s+`, the only place for a look ahead.

Everything else is refused. Possessive repeats, `\\h`, `\\w` and folding of case mean different
things to the two, and so does `{3,2}`.
"""

from __future__ import annotations

import re
import unicodedata

from tiktoken import Encoding

# ByteLevel's own pattern (`use_regex`), which is that of GPT-2.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
TAIL = r"|\s+(?!\S)|\s+"

CONTRACTIONS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r"(?i:[sdmt]|ll|ve|re)",
    r"(?:[sdmt]|ll|ve|re)",
)
CHARACTER = r"(?:[A-Za-z0-9 '_/]|\\[sSrnt]|\\p\{(?:L[ultmo]?|M|N)\})"
ITEM = "(?:" + "|".join(map(re.escape, CONTRACTIONS)) + rf"|\[\^?{CHARACTER}+\]|{CHARACTER})"
REPEAT = r"(?:[?*+]|\{(?:[1-9]|1,[1-9][0-9]?)\})"
ALTERNATIVE = rf"(?:{ITEM}{REPEAT}?)+"
# It matches the empty text, where the two engines go on in different ways.
OPTIONAL = re.compile(rf"(?:{ITEM}[?*])+")
HEAD = re.compile(rf"(?P<first>{ALTERNATIVE})(?:\|(?P<rest>.+))?", re.DOTALL)


class NotExpressible(ValueError):
    """Why a tokenizer has no form as a tiktoken encoding: the message says it."""


def for_tiktoken(pattern: str) -> str:
    """A pattern that finds in tiktoken the words that `pattern` finds in `tokenizers`.

    The alternatives before the look ahead become a group. fancy-regex then gives them to the plain
    engine at once, which is a fifth faster. Raises NotExpressible.
    """
    if not pattern.endswith(TAIL):
        raise NotExpressible(f"its pattern does not end in {TAIL}: {pattern}")
    head = pattern.removesuffix(TAIL)
    rest: str | None = head
    while rest is not None:
        found = HEAD.fullmatch(rest)
        if not found:
            raise NotExpressible(
                f"its pattern has a part that two engines may read otherwise: {rest}"
            )
        if OPTIONAL.fullmatch(found["first"]):
            raise NotExpressible(f"its pattern matches the empty text: {found['first']}")
        rest = found["rest"]
    _refuse_gaps(head)
    return f"(?:{head}){TAIL}"


def _refuse_gaps(head: str) -> None:
    """Raises NotExpressible where a character is in no word: tiktoken drops what is between words.

    Without a look ahead, what matches a character alone matches it in every text. An alternative
    tells characters beyond ASCII apart by category and white space alone, so one of each will do.
    """
    ranks = {bytes([byte]): byte for byte in range(256)}
    plain = Encoding("words", pat_str=rf"{head}|\s+", mergeable_ranks=ranks, special_tokens={})
    for character in REPRESENTATIVES:
        if plain.decode(plain.encode_ordinary(character)) != character:
            raise NotExpressible(f"its pattern leaves out the character {character!r}")


def _representatives() -> tuple[str, ...]:
    """All of ASCII; one character of each other kind: general category, white space or not."""
    others = {
        (unicodedata.category(c), c.isspace()): c
        # Private use and unassigned code points are kinds too.
        for c in map(chr, (*range(0x80, 0x3100), 0xE000, 0x10FFFF))
    }
    return (*map(chr, range(0x80)), *others.values())


REPRESENTATIVES = _representatives()
