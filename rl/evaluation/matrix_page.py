"""An evaluation as one HTML file: one row per problem and one cell per sample.

The completions of failing samples can be unfolded.
"""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}
table{border-collapse:collapse}td{padding:1px 2px;vertical-align:top}
td.t{padding-right:1em;white-space:nowrap}
i{display:inline-block;width:.9em;height:.9em;margin-right:2px;background:#c33}i.pass{background:#3a3}
i.timeout,i.memory,i.output{background:#c80}i.infrastructure,i.unsupported{background:#aaa}i.error{background:#936}
pre{background:#f5f5f5;padding:.5em;overflow:auto;max-height:24em}summary{cursor:pointer}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}pre{background:#222}}
"""


def page(result: dict[str, Any]) -> str:
    """The page of an evaluation as rl.evaluate saves it."""
    title = f"{result['benchmark']}: {result.get('model', '')}"
    facts = [
        f"{len(result['items'])} problems x {result['samples']} samples "
        f"at temperature {result['temperature']}"
    ]
    for name, value in result["pass_at"].items():
        low, high = result["intervals"][name]
        facts.append(f"{name} {value:.4f} (95 %: {low:.4f} to {high:.4f})")
    missing = result.get("unjudged", {})
    if missing:
        facts.append(f"{len(missing)} problems have no verdict and do not count: grey below")
    free = result.get("free_of_overlap")
    if free:
        facts += [
            f"{name} {value:.4f} on the {free['items']} free of overlap"
            for name, value in free["pass_at"].items()
        ]
    rows = "".join(map(_row, result["items"]))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>{'<br>'.join(map(escape, facts))}</p><table>{rows}</table></html>\n"
    )


def _row(item: dict[str, Any]) -> str:
    cells = "".join(
        f'<i class="{escape(s["verdict"])}" title="{escape(s["verdict"])}"></i>'
        for s in item["samples"]
    )
    failing = [sample for sample in item["samples"] if sample["verdict"] != "pass"]
    shown = "".join(
        f"<p>{escape(s['verdict'])}: {escape(s['reason'])}</p><pre>{_text(s['completion'])}</pre>"
        for s in failing
    )
    details = (
        f"<details><summary>{len(failing)} failing</summary>"
        f"<pre>{_text(item['prompt'])}</pre>{shown}</details>"
    )
    task = escape(str(item["task_id"]))
    return (
        f'<tr><td class="t">{task}</td><td>{cells}</td><td>{details if failing else ""}</td></tr>'
    )


def _text(text: str) -> str:
    """Text that HTML and UTF-8 take: completions may hold lone surrogates and control codes."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return escape(
        "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in shown)
    )
