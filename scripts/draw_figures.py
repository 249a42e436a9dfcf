"""Draws the figures of the docs as SVG, from the code and from the metrics of a run.

    python scripts/draw_figures.py                  # those that the code alone decides
    python scripts/draw_figures.py output=DIR       # and the GRPO timeline, from DIR's metrics
    python scripts/draw_figures.py --check          # exit status 1 where a committed figure is old

Coordinates are whole numbers and no clock enters, so the same code gives the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import median

from conf.errors import SeedbedError, run_cli
from seedbed import jsonl
from seedbed.sandbox.inside.lockdown import CHANNELS
from spark_jobs import graph

IMAGES = Path(__file__).parents[1] / "docs" / "images"
INK, FAINT, PAPER = "#1f2937", "#cbd5e1", "#ffffff"
# One hue for data at rest, one for programs, one for what is not trusted.
STORE, PROGRAM, HOSTILE, READER = "#e0f2fe", "#ecfccb", "#fee2e2", "#f3f4f6"
LANES = ("#2563eb", "#059669", "#b45309", "#7c3aed", "#be123c", "#0e7490")
STYLE = "font-family='system-ui, sans-serif' font-size='13'"


class Drawing:
    """An SVG picture of `width` x `height` pixels, built one shape at a time."""

    def __init__(self, width: int, height: int, title: str):
        self._parts = [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
            f"width='{width}' height='{height}' role='img' {STYLE}>",
            f"<title>{escape(title)}</title>",
            "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' "
            f"markerHeight='8' orient='auto'><path d='M0 0L8 4L0 8z' fill='{INK}'/>"
            "</marker></defs>",
            f"<rect width='{width}' height='{height}' rx='8' fill='{PAPER}'/>",
        ]

    def text(self, x: int, y: int, words: str, style: str = "") -> None:
        self._parts.append(f"<text x='{x}' y='{y}' fill='{INK}' {style}>{escape(words)}</text>")

    def box(self, area: tuple[int, int, int, int], fill: str, title: str, lines: Sequence[str]):
        """A titled box. `area` is x, y, width, height; one line of text every 18 pixels."""
        x, y, width, height = area
        self._parts.append(
            f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='6' fill='{fill}' "
            f"stroke='{INK}'/>"
        )
        self.text(x + 10, y + 20, title, "font-weight='bold'")
        for number, line in enumerate(lines):
            self.text(x + 10, y + 40 + 18 * number, line)

    def arrow(self, *points: tuple[int, int], label: str = "", at: tuple[int, int] = (0, 0)):
        """A line through `points` with a tip at its end, and its label at `at`."""
        path = "M" + "L".join(f"{x} {y}" for x, y in points)
        self._parts.append(f"<path d='{path}' fill='none' stroke='{INK}' marker-end='url(#tip)'/>")
        if label:
            self.text(*at, label, "font-size='12' font-style='italic'")

    def add(self, shape: str) -> None:
        self._parts.append(shape)

    def svg(self) -> str:
        return "\n".join([*self._parts, "</svg>", ""])


def line() -> str:
    """The whole line: archives to tables, shards, a model, and post-training."""
    drawing = Drawing(960, 470, "From source archives to a trained model")
    drawing.box((20, 60, 130, 66), STORE, "Source code", ["archives, folders"])
    drawing.box(
        (190, 60, 200, 60 + 18 * len(graph.JOBS)),
        PROGRAM,
        "spark_jobs",
        graph.JOBS,
    )
    drawing.box((440, 60, 150, 84), STORE, "Delta tables", ["verdicts about", "every content"])
    drawing.box((440, 196, 150, 66), STORE, "Token shards", ["Megatron's format"])
    drawing.box((640, 196, 150, 66), PROGRAM, "megatron_train", ["pretrain"])
    drawing.box(
        (640, 60, 150, 84), PROGRAM, "megatron_train", ["train_scorer: a head", "that rates code"]
    )
    drawing.box((830, 196, 110, 66), STORE, "Model", ["Hugging Face"])
    drawing.box((656, 320, 284, 66), PROGRAM, "rl", ["sft, then dpo or grpo, then evaluate"])
    drawing.box((440, 320, 150, 66), HOSTILE, "sandbox", ["judges programs"])
    drawing.box((440, 416, 500, 36), READER, "report: one page about all of it", [])
    drawing.arrow((150, 93), (190, 93))
    drawing.arrow((390, 93), (440, 93))
    drawing.arrow((390, 229), (440, 229))
    drawing.arrow((590, 229), (640, 229))
    drawing.arrow((790, 229), (830, 229))
    drawing.arrow((885, 262), (885, 320))
    drawing.arrow((885, 196), (885, 102), (790, 102))
    drawing.arrow((590, 102), (640, 102), label="labels", at=(598, 96))
    drawing.arrow(
        (715, 60),
        (715, 30),
        (290, 30),
        (290, 60),
        label="its scores select the next round's data",
        at=(380, 24),
    )
    drawing.arrow((656, 345), (590, 345))
    drawing.arrow((590, 365), (656, 365), label="rewards", at=(600, 381))
    return drawing.svg()


def pipeline() -> str:
    """Jobs down the side in the order of a run, tables across: who writes and who reads each."""
    jobs = [graph.job(name) for name in graph.JOBS]
    tables = list(dict.fromkeys(table for job in jobs for table in sorted(job.writes)))
    left, top, step, row = 170, 130, 36, 28
    width, height = left + step * len(tables) + 90, top + row * len(jobs) + 50
    drawing = Drawing(width, height, "Jobs of the curation and the tables that they read and write")
    across = {table: left + 20 + step * number for number, table in enumerate(tables)}
    down = {name: top + row * number for number, name in enumerate(graph.JOBS)}
    for name in graph.JOBS:
        drawing.text(14, down[name] + 4, name)
        drawing.add(_stroke(left - 10, down[name], across[tables[-1]], down[name], FAINT, 1))
    for number, table in enumerate(tables):
        x, color = across[table], LANES[number % len(LANES)]
        rows = [
            down[name]
            for name, job in zip(graph.JOBS, jobs, strict=True)
            if table in (*job.reads, *job.writes)
        ]
        place = f"transform='rotate(-50 {x} {top - 20})' font-size='12'"
        drawing.text(x, top - 20, table, place)
        drawing.add(_stroke(x, min(rows), x, max(rows), color, 2))
        for name, job in zip(graph.JOBS, jobs, strict=True):
            if table in job.writes:
                drawing.add(_square(x, down[name], color))
            elif table in job.reads:
                drawing.add(_ring(x, down[name], color))
    foot = top + row * len(jobs) + 10
    drawing.add(_square(24, foot, INK))
    drawing.text(38, foot + 4, "writes the table")
    drawing.add(_ring(174, foot, INK))
    drawing.text(188, foot + 4, "reads the table")
    files = [name for name, job in zip(graph.JOBS, jobs, strict=True) if not job.writes]
    drawing.text(320, foot + 4, f"{', '.join(files)}: files alone")
    return drawing.svg()


def sandbox() -> str:
    """The sandbox's processes, and what passes between them."""
    drawing = Drawing(860, 350, "Processes of the sandbox")
    supervisor = [
        "in the caller's process:",
        "jobs in, verdicts out,",
        "clock, retries;",
        "holds tests and expected",
        "values",
    ]
    fork_server = [
        "started by exec, empty",
        "environment, namespaces;",
        "sees no program and no test",
    ]
    tester = [
        "runs the data set's tests;",
        f"up to {CHANNELS} programs in turn,",
        "one channel each",
    ]
    jail = [
        "gets source and arguments,",
        "returns plain values;",
        "no test, no network, no file but",
        "the standard library's",
    ]
    drawing.box((20, 60, 200, 138), PROGRAM, "Supervisor", supervisor)
    drawing.box((300, 60, 220, 102), PROGRAM, "Fork server", fork_server)
    drawing.box((600, 40, 240, 102), PROGRAM, "Tester", tester)
    drawing.box((600, 216, 240, 120), HOSTILE, "Jail: the candidate's program", jail)
    drawing.arrow((220, 85), (300, 85), label="requests", at=(234, 78))
    drawing.arrow((300, 130), (220, 130), label="exit status", at=(230, 148))
    drawing.arrow((520, 85), (600, 85), label="clones", at=(540, 78))
    drawing.arrow((410, 162), (410, 276), (600, 276), label="clones", at=(430, 270))
    drawing.arrow((690, 142), (690, 216), label="calls", at=(656, 184))
    drawing.arrow((750, 216), (750, 142), label="plain values", at=(758, 184))
    drawing.arrow(
        (720, 40),
        (720, 20),
        (120, 20),
        (120, 60),
        label="tests in; their result out, as plain values",
        at=(300, 14),
    )
    return drawing.svg()


PARTS = {"rollout": "#2563eb", "reward": "#be123c", "train": "#059669", "sync": "#b45309"}


def grpo_step(rows: Sequence[dict[str, dict[str, float]]]) -> str:
    """The parts of a GRPO step, one after the other: the median of each over the steps of a run."""
    if not rows:
        raise SeedbedError("the run's metrics hold no seconds by part", "give a GRPO run")
    seconds = {name: median(row["seconds"][name] for row in rows) for name in PARTS}
    total = sum(seconds.values())
    drawing = Drawing(860, 150, "Timeline of a GRPO step")
    drawing.text(20, 28, f"One GRPO step: {total:.2f} s (median of {len(rows)} steps)")
    start = 20.0
    for name, part in seconds.items():
        width = 820 * part / total
        drawing.add(
            f"<rect x='{start:.0f}' y='44' width='{width:.0f}' height='40' fill='{PARTS[name]}'/>"
        )
        start += width
    for number, (name, part) in enumerate(seconds.items()):
        x = 28 + 205 * number
        drawing.add(_square(x, 114, PARTS[name]))
        drawing.text(x + 12, 118, f"{name}: {part:.2f} s, {part / total:.0%}")
    return drawing.svg()


def _stroke(x1: int, y1: int, x2: int, y2: int, color: str, width: int) -> str:
    ends = f"x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}'"
    return f"<line {ends} stroke='{color}' stroke-width='{width}'/>"


def _square(x: int, y: int, color: str) -> str:
    return f"<rect x='{x - 6}' y='{y - 6}' width='12' height='12' fill='{color}'/>"


def _ring(x: int, y: int, color: str) -> str:
    fill = f"fill='{PAPER}' stroke='{color}' stroke-width='2'"
    return f"<circle cx='{x}' cy='{y}' r='5' {fill}/>"


FIGURES = {"line.svg": line, "pipeline.svg": pipeline, "sandbox.svg": sandbox}


def main(argv: list[str]) -> int:
    if argv == ["--check"]:
        old = [name for name, draw in FIGURES.items() if _committed(name) != draw()]
        if old:
            print(f"old: {', '.join(old)}; run scripts/draw_figures.py", file=sys.stderr)
        return 1 if old else 0
    for name, draw in FIGURES.items():
        (IMAGES / name).write_text(draw(), encoding="utf-8")
    for output in _outputs(argv):
        path = Path(output) / "rl" / "grpo" / "metrics.jsonl"
        drawn = grpo_step([row for row in jsonl.whole_rows(path) if row.get("seconds")])
        (IMAGES / "grpo_step.svg").write_text(drawn, encoding="utf-8")
    return 0


def _committed(name: str) -> str:
    path = IMAGES / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _outputs(argv: Iterable[str]) -> list[str]:
    wrong = [word for word in argv if not word.startswith("output=")]
    if wrong:
        raise SeedbedError(f"unknown argument {wrong[0]!r}", "give output=DIR, --check or nothing")
    return [word.removeprefix("output=") for word in argv]


if __name__ == "__main__":
    run_cli(main)
