"""The reasons why a file or a content is dropped: each is declared here once, in order.

select_documents applies CONTENT_REASONS with Spark, what-if applies them with DuckDB. The funnel
takes its order from them, the report and docs/tables.md take their words.

`condition` and `detail` are SQL that Spark and DuckDB both take. They see one row per content:

    content_sha256, language, bytes    of table contents
    survivor, cluster_id, keeper       of clusters, or of the content's repositories
    status, error_share                of syntax
    quality                            of scores, by the scorer in force
    cut                                struct(quality, content_sha256, text): the last content that
                                       the quality cut drops in the row's group, or null
    overlap                            struct(benchmark, item, ngram) of contamination, or null
    denied_copy                        struct(doc_id, license, repo, path) of a copy that carries a
                                       denied license, or null
    policy                             struct of all settings of `policy_values`

Settings reach the SQL as columns and never as text, so that no value needs quoting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reason:
    """Why something is dropped.

    name: the value in files.drop_reason or decisions.reason.
    meaning: a few words for people.
    condition: SQL, true for the contents that it drops; null counts as false.
    detail: SQL for the figures that decided, a string.
    """

    name: str
    meaning: str
    condition: str = "false"
    detail: str = "null"


# Ingest drops these files without storing them; each file has the first that holds.
FILE_REASONS = (
    Reason("unsafe_path", "a path that leaves its archive"),
    Reason("link", "a link, not a file"),
    Reason("unreadable", "damaged member"),
    Reason("not_code", "no language of the list"),
    Reason("too_large", "over the size limit"),
    Reason("empty", "nothing in it"),
    Reason("nul", "NUL bytes: binary"),
    Reason("bad_utf8", "not UTF-8"),
)

# A file whose content another file brought already: table contents holds it once.
DUPLICATE_EXACT = Reason("duplicate_exact", "same SHA-256 as another")


def _fixed(value: str) -> str:
    """SQL: the two arguments of %d.%04d that write `value`, from 0 to 1, with four decimals.

    %.4f would not do: of a value such as 0.33125 the JVM rounds the decimal digits, and C and Rust
    the binary number. Products and sums of doubles are the same everywhere (IEEE 754).
    """
    units = f"floor({value} * 10000 + 0.5)"
    return f"CAST(floor({units} / 10000) AS BIGINT), CAST({units} % 10000 AS BIGINT)"


_UNDER_CUT = (
    "(quality < cut.quality OR (quality = cut.quality AND content_sha256 <= cut.content_sha256))"
)
_LEAST_QUALITY = "coalesce(policy.min_quality_of[language], policy.min_quality)"

# select_documents checks these in this order: the first that holds is the reason.
CONTENT_REASONS = (
    # The file-level variant of Sec 2.2.1.
    Reason(
        "duplicate_near",
        "its cluster keeps another",
        "policy.dedup = 'file' AND NOT survivor",
        "format_string('cluster %s keeps %s', cluster_id, keeper)",
    ),
    # The repository-level variant of Sec 2.2.1, instead of the file-level one.
    Reason(
        "duplicate_repository",
        "no surviving repository holds it",
        "policy.dedup = 'repository' AND NOT survivor",
        "format_string('cluster %s keeps %s', cluster_id, keeper)",
    ),
    # A language without a parser passes; a parser that gave up does not.
    Reason(
        "syntax",
        "too much under parser errors",
        "(status = 'ok' AND error_share > policy.max_error_share)"
        " OR status IN ('timeout', 'failed')",
        "CASE WHEN status <> 'ok' THEN concat('parser ', status) ELSE format_string("
        f"'error share %d.%04d > %s', {_fixed('error_share')}, policy.max_error_share_text) END",
    ),
    # The lowest share of what the reasons above leave, as in Sec 2.2.1, or below a threshold.
    Reason(
        "low_quality",
        "below the score cut",
        f"{_UNDER_CUT} OR quality < {_LEAST_QUALITY}",
        f"CASE WHEN {_UNDER_CUT} THEN "
        f"format_string('quality %d.%04d <= cut %s', {_fixed('quality')}, cut.text) ELSE "
        f"format_string('quality %d.%04d < %d.%04d', {_fixed('quality')}, {_fixed(_LEAST_QUALITY)})"
        " END",
    ),
    # Sec 4: shares an n-gram with a benchmark of decontaminate.benchmarks.
    Reason(
        "contaminated",
        "shares a 10-gram with a benchmark",
        "overlap IS NOT NULL",
        "format_string('%s %s: %s', overlap.benchmark, overlap.item, overlap.ngram)",
    ),
    # Unknown licenses pass.
    Reason(
        "license",
        "denied license",
        "denied_copy IS NOT NULL",
        "format_string('%s in %s %s', denied_copy.license, denied_copy.repo, denied_copy.path)",
    ),
    Reason(
        "language",
        "denied language",
        "array_contains(policy.languages_denied, lower(language))",
        "language",
    ),
    Reason(
        "too_short",
        "too few bytes",
        "bytes < policy.min_bytes",
        "format_string('%d bytes < %d', bytes, policy.min_bytes)",
    ),
)
# The reason whose condition needs `cut`, which is drawn from what the reasons before it leave.
CUT = "low_quality"


def names() -> tuple[str, ...]:
    """The names of CONTENT_REASONS, in the order in which they are checked."""
    return tuple(reason.name for reason in CONTENT_REASONS)


def before_cut() -> tuple[Reason, ...]:
    """The reasons that are checked before the quality cut."""
    return CONTENT_REASONS[: names().index(CUT)]


def after_cut() -> tuple[Reason, ...]:
    """The reasons that are checked after the quality cut."""
    return CONTENT_REASONS[names().index(CUT) + 1 :]


def meaning(name: str) -> str:
    """What a reason means, in words; "" for a name that no list holds."""
    every = (*FILE_REASONS, DUPLICATE_EXACT, *CONTENT_REASONS)
    return next((reason.meaning for reason in every if reason.name == name), "")


def first_reason(reasons: tuple[Reason, ...]) -> str:
    """SQL: the name of the first reason that holds, else null."""
    return _first((r.condition, f"'{r.name}'") for r in reasons)


def first_detail(reasons: tuple[Reason, ...]) -> str:
    """SQL: the detail of the first reason that holds, else null."""
    return _first((r.condition, r.detail) for r in reasons)


def any_holds(reasons: tuple[Reason, ...]) -> str:
    """SQL: true where one of the reasons holds, else false."""
    return f"({first_reason(reasons)}) IS NOT NULL"


def policy_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `policy`: all settings of the config section `select`, as conditions need them.

    Names of licenses and languages are lowered, as they are compared without regard to case.
    `max_error_share_text` is the share as Python writes it with %g, which no SQL function does.
    """
    return {
        **settings,
        "licenses_denied": [name.lower() for name in settings["licenses_denied"]],
        "languages_denied": [name.lower() for name in settings["languages_denied"]],
        "max_error_share_text": f"{settings['max_error_share']:g}",
    }


def _first(cases: Any) -> str:
    whens = " ".join(f"WHEN {condition} THEN {value}" for condition, value in cases)
    return f"CASE {whens} ELSE null END" if whens else "null"
