"""GRPO: reward on training and held-out problems, verdicts of the sandbox, and completions before and after."""

from __future__ import annotations

from typing import Any

from report import svg
from report.blocks import Block, Chart, Fact, Facts, Row, Section
from report.run import Run
from report.sections.pretrain import curve

VERDICTS = (("pass", "c1"), ("wrong", "c3"), ("error", "c2"), ("timeout", "c4"), ("infrastructure", "c5"))


def section(run: Run) -> Section:
    rows = run.lines("rl/grpo/metrics.jsonl")
    held = curve(rows, "heldout_reward")
    facts = [Fact(f"{rows[-1]['step']:,}", "steps")]
    if held:
        facts += [Fact(f"{held[0][1]:.2f} → {held[-1][1]:.2f}", "held-out reward, before → after")]
    series = [svg.Series("training problems", "c4", curve(rows, "reward"))]
    if held:
        series.append(svg.Series("held-out problems", "c1", held, dots=True))
    reward = Chart(
        "Reward",
        svg.lines("Reward", series, "step", "share of samples that pass", (0.0, 1.0)),
        [(s.color, s.name) for s in series],
    )
    blocks: list[Block] = [Facts(facts), Row([reward, _verdicts(rows)])]
    lead = f"Mean reward {rows[0].get('reward', 0):.2f} → {rows[-1].get('reward', 0):.2f} on training problems."
    return Section("grpo", "GRPO", lead, blocks, "rl/grpo/metrics.jsonl")


def _verdicts(rows: list[dict[str, Any]]) -> Chart:
    counted = [row for row in rows if all(name in row for name, _ in VERDICTS)]
    stacks = [(name, color, [row[name] for row in counted]) for name, color in VERDICTS]
    drawing = svg.shares("Verdicts of the sandbox", [row["step"] for row in counted], stacks, "step")
    return Chart("Verdicts of the sandbox", drawing, [(color, name) for name, color in VERDICTS])
