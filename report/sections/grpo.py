"""GRPO: reward, verdicts of the sandbox, and completions before and after."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from report import svg
from report.blocks import Block, Chart, Code, Fact, Figures, Note, Section, SideBySide, Table
from report.highlight import python
from report.run import RunFolder
from report.sections.pretrain import curve, single

VERDICTS = (
    ("pass", "c1"),
    ("wrong", "c3"),
    ("error", "c2"),
    ("timeout", "c4"),
    ("infrastructure", "c5"),
    ("unsupported", "c5"),
)
BEFORE, AFTER = "rl/eval_sft.json", "rl/eval_grpo.json"
EXAMPLES = 4


def section(run: RunFolder) -> Section:
    rows = run.lines("rl/grpo/metrics.jsonl")
    held, trained = curve(rows, "heldout_reward"), curve(rows, "reward")
    facts = [Fact(f"{rows[-1]['step']:,}", "steps")]
    lead = "No step has been taken yet."
    if trained:
        lead = f"Mean reward {trained[0][1]:.2f} → {trained[-1][1]:.2f} on training problems."
    if len(held) > 1:
        lead += f" On problems that were not trained on: {held[0][1]:.2f} → {held[-1][1]:.2f}."
        facts.append(Fact(f"{held[-1][1] - held[0][1]:+.3f}", "held-out reward gained"))
    blocks: list[Block] = [Figures(facts)]
    series = [
        svg.Series("training problems", "c4", trained),
        svg.Series("held-out problems", "c1", held, dots=True),
    ]
    series = [s for s in series if s.points]
    drawing = svg.lines("Reward", series, "step", "share of samples that pass", (0.0, 1.0))
    reward = Chart("Reward", drawing, [(s.color, s.name) for s in series])
    steps = [row for row in rows if row.get("reward") is not None]
    if steps:
        blocks += [
            SideBySide([reward, _verdicts(steps)]),
            SideBySide(
                [
                    _signal(steps),
                    single(steps, "response_tokens", "Length", "tokens per response", zero=True),
                ]
            ),
        ]
    else:
        blocks.append(SideBySide([reward]))
    if any(len(row.get("reward_after", [])) > 1 for row in steps):
        blocks.append(_turns(steps))
    results = {path: run.document(path) for path in run.files("rl/eval_*.json")}
    if results:
        blocks.append(_evaluations(results))
    if BEFORE in results and AFTER in results:
        blocks += _examples(results[BEFORE]["items"], results[AFTER]["items"])
    return Section("grpo", "GRPO", lead, blocks, ", ".join(["rl/grpo/metrics.jsonl", *results]))


def _verdicts(rows: list[dict[str, Any]]) -> Chart:
    stacks = [
        (name, color, [row["shares"].get(name, 0.0) for row in rows]) for name, color in VERDICTS
    ]
    drawing = svg.shares("Verdicts of the sandbox", [row["step"] for row in rows], stacks, "step")
    return Chart(
        "Verdicts on training samples", drawing, [(color, name) for name, color in VERDICTS]
    )


def _signal(rows: list[dict[str, Any]]) -> Chart:
    points = [(row["step"], row["groups_with_signal"] / row["groups"]) for row in rows]
    title = "Groups with signal"
    drawing = svg.lines(
        title, [svg.Series(title, "c1", points)], "step", "share of groups", (0.0, 1.0)
    )
    return Chart(
        title,
        drawing,
        caption="A group trains only where some of its samples pass and some do not.",
    )


def _turns(rows: list[dict[str, Any]]) -> Table:
    """What later answers of an episode were worth, at the first step and at the last."""
    head = ["step", "turns", "reward by turns", "tokens told", "ended"]
    cells = [
        [
            f"{row['step']:,}",
            f"{row['turns']:.2f}",
            " → ".join(f"{reward:.3f}" for reward in row["reward_after"]),
            f"{row['masked_tokens']:.0f}",
            ", ".join(f"{name} {count}" for name, count in row["ended"].items()),
        ]
        for row in (rows[0], rows[-1])
    ]
    return Table(head, cells, title="Episodes of several turns")


def _evaluations(results: dict[str, dict[str, Any]]) -> Table:
    cells = []
    for path in sorted(results, key=lambda p: (p != BEFORE, p != AFTER, p)):
        result = results[path]
        benchmark = PurePosixPath(result.get("benchmark", "held-out problems")).stem
        passed = ", ".join(f"{name} {value:.3f}" for name, value in result["pass_at"].items())
        shares = ", ".join(
            f"{name} {share:.0%}" for name, _ in VERDICTS if (share := result["shares"].get(name))
        )
        items = f"{len(result['items'])} x {result['samples']}"
        cells.append(
            [PurePosixPath(path).stem.removeprefix("eval_"), benchmark, items, passed, shares]
        )
    head = ["model", "benchmark", "problems x samples", "pass@k", "verdicts"]
    return Table(head, cells, title="Evaluations")


def _examples(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[Block]:
    """What was written before and after, for the problems that gained most."""
    then = {item["task_id"]: item for item in before}
    both = [(then[item["task_id"]], item) for item in after if item["task_id"] in then]
    both.sort(key=lambda pair: (_passed(pair[0]) - _passed(pair[1]), pair[1]["task_id"]))
    rows: list[Block] = [Note("The problems that gained most, before and after.")]
    for old, new in both[:EXAMPLES]:
        rows.append(
            SideBySide(
                [
                    _completion("before", old, want_pass=False),
                    _completion("after", new, want_pass=True),
                ]
            )
        )
    return rows


def _passed(item: dict[str, Any]) -> float:
    return sum(sample["verdict"] == "pass" for sample in item["samples"]) / len(item["samples"])


def _completion(when: str, item: dict[str, Any], want_pass: bool) -> Code:
    """The first sample whose verdict is typical of the side, else the first."""
    fitting = [sample for sample in item["samples"] if (sample["verdict"] == "pass") == want_pass]
    sample = (fitting or item["samples"])[0]
    count = sum(one["verdict"] == "pass" for one in item["samples"])
    facts = [f"{when}: {sample['verdict']}", f"{count} of {len(item['samples'])} samples pass"]
    if sample["reason"]:
        facts.append(sample["reason"])
    return Code(
        item["prompt"],
        python(sample["completion"], 14),
        facts,
        "good" if sample["verdict"] == "pass" else "bad",
    )
