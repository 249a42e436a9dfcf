"""Finds SPDX identifiers in package metadata and in the texts of LICENSE files.

A claim that fits no single identifier gives None and never a guess, because `licenses_denied`
relies on the column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Values of the free-text License field of PyPI packages, in lower case, without punctuation and the
# word "license".
_NAMES: dict[str, str] = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 20": "Apache-2.0",
    "apache version 20": "Apache-2.0",
    "apache software": "Apache-2.0",
    "apache software 20": "Apache-2.0",
    "mit": "MIT",
    "expat": "MIT",
    "isc": "ISC",
    "bsd 2 clause": "BSD-2-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "3 clause bsd": "BSD-3-Clause",
    "2 clause bsd": "BSD-2-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "simplified bsd": "BSD-2-Clause",
    "gplv2": "GPL-2.0-only",
    "gplv2+": "GPL-2.0-or-later",
    "gplv3": "GPL-3.0-only",
    "gplv3+": "GPL-3.0-or-later",
    "gpl 30 or later": "GPL-3.0-or-later",
    "gpl 20 or later": "GPL-2.0-or-later",
    "lgplv3": "LGPL-3.0-only",
    "lgplv3+": "LGPL-3.0-or-later",
    "agplv3": "AGPL-3.0-only",
    "agplv3+": "AGPL-3.0-or-later",
    "mpl 20": "MPL-2.0",
    "mozilla public 20": "MPL-2.0",
    "psf": "PSF-2.0",
    "psf 20": "PSF-2.0",
    "zlib": "Zlib",
    "unlicense": "Unlicense",
    "public domain": "LicenseRef-Public-Domain",
}

# Trove classifiers that name one license. "BSD License" is missing, as it may be any BSD text.
_CLASSIFIERS: dict[str, str] = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
}

# (phrases that must all occur in the text, identifier). The first match wins, so narrower texts
# come first. A bare GPL text does not say "or later", hence "-only".
_TEXTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("gnu affero general public license version 3,",), "AGPL-3.0-only"),
    (("gnu lesser general public license version 3,",), "LGPL-3.0-only"),
    (("gnu lesser general public license version 2.1,",), "LGPL-2.1-only"),
    (("gnu general public license version 3,",), "GPL-3.0-only"),
    (("gnu general public license version 2,",), "GPL-2.0-only"),
    (("mozilla public license version 2.0",), "MPL-2.0"),
    (("mozilla public license, version 2.0",), "MPL-2.0"),
    (("apache license version 2.0, january 2004",), "Apache-2.0"),
    (("licensed under the apache license, version 2.0",), "Apache-2.0"),
    (("boost software license - version 1.0",), "BSL-1.0"),
    (("python software foundation license version 2",), "PSF-2.0"),
    (("this is free and unencumbered software released into the public domain",), "Unlicense"),
    (("cc0 1.0 universal",), "CC0-1.0"),
    (
        ("redistribution and use in source and binary forms", "all advertising materials"),
        "BSD-4-Clause",
    ),
    (
        ("redistribution and use in source and binary forms", "endorse or promote products"),
        "BSD-3-Clause",
    ),
    (("redistribution and use in source and binary forms",), "BSD-2-Clause"),
    (
        (
            "permission is hereby granted, free of charge, to any person obtaining",
            'provided "as is"',
        ),
        "MIT",
    ),
    (("permission to use, copy, modify, and/or distribute this software for any purpose",), "ISC"),
    (("permission to use, copy, modify, and distribute this software for any purpose",), "ISC"),
    (("this software is provided 'as-is', without any express or implied warranty",), "Zlib"),
)

_EXPRESSION = re.compile(r"\(*[A-Za-z0-9.+-]+\)*( (AND|OR|WITH) \(*[A-Za-z0-9.+-]+\)*)*")
# The bare "OSI Approved" names no license.
_LICENSE_LINE = re.compile(r"License :: (?!OSI Approved$)")
# Characters of a LICENSE text that are read. Later ones may be the licenses of bundled parts.
_HEAD = 3_000


def from_metadata(
    expression: str | None, field: str | None, classifiers: Sequence[str]
) -> str | None:
    """The SPDX expression of a package's core metadata, or None.

    The order is License-Expression, the free-text License field, then `License ::` classifiers. Two
    classifiers that disagree give None.
    """
    if expression and _EXPRESSION.fullmatch(expression.strip()):
        return expression.strip()
    if field:
        named = (
            _NAMES.get(_plain(field))
            or _known_identifier(field.strip())
            or (from_text(field) if len(field) > 200 else None)
        )
        if named:
            return named
    found = {
        _CLASSIFIERS.get(line.rsplit(" :: ", 1)[-1])
        for line in classifiers
        if _LICENSE_LINE.match(line)
    }
    return found.pop() if len(found) == 1 else None


def from_text(text: str) -> str | None:
    """The SPDX identifier of a license text, by phrases that only that license has, or None."""
    head = " ".join(text[:_HEAD].lower().split())
    for phrases, identifier in _TEXTS:
        if all(phrase in head for phrase in phrases):
            return identifier
    return None


def _plain(field: str) -> str:
    words = re.sub(r"[^a-z0-9+ ]", "", field.lower().replace("-", " ")).split()
    return " ".join(word for word in words if word not in ("license", "licence", "the"))


def _known_identifier(field: str) -> str | None:
    known = {*_NAMES.values(), *_CLASSIFIERS.values(), *(identifier for _, identifier in _TEXTS)}
    return field if field in known else None
