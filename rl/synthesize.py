"""Write problems with tests from snippets of curated documents (Sec 3.1).

    python -m rl.synthesize --config conf/rl/synthesis.yaml output=DIR model=HF_FOLDER [key=value]
    python -m rl.synthesize --config conf/rl/synthesis.yaml output=DIR \\
        source=endpoint endpoint.url=URL model=NAME [key=value]

A model invents a task, solves it, grades it, writes its tests and repairs what fails. Reads
DIR/tables/documents and contents. Writes DIR/tables/synthetic, with one row per snippet. The row is
a problem where `reason` is null; else it names the step where the snippet ended and why. Also
writes DIR/rl/synthesis with answers.jsonl (every answer as it arrives) and engine.log.

A run that is killed and started again asks nothing twice and adds no row twice. A larger
`snippets=` adds to the table. rl.sft and rl.grpo read the table as problems:
train_problems=DIR/tables/synthetic.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import conf
from conf.errors import SeedbedError, run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.ask import SynthesisConfig
from rl.synthesis import answers, snippets
from rl.synthesis.draft import REASONS, Draft, task_hash
from rl.synthesis.steps import Steps, prompts
from rl.synthesis.teacher import Teacher
from seedbed.inference.endpoint import Meter
from seedbed.sandbox import Sandbox
from seedbed.tables import writer as table_writer
from seedbed.tables.opening import open_table
from seedbed.tables.writer import Writer, lineage

TABLE = "synthetic"


def main(argv: list[str]) -> int:
    args = cli_parser("rl.synthesize", __doc__).parse_args(argv)
    cfg = load(SynthesisConfig, args.config, args.overrides)
    if args.dry_run:
        print(to_yaml(cfg))
        return 0
    out = Path(cfg.output)
    texts, styles = prompts(cfg.prompts), read_styles(cfg.prompts)
    versions = snippets.pinned(out / "tables")
    drawn = snippets.draw(cfg, out / "tables", versions, styles)
    writer = Writer(out, TABLE, "rl.synthesize")
    with Teacher(cfg, out / "rl" / "synthesis", answers.forms_version()) as teacher:
        versions_of_prompts = {step: text.version for step, text in texts.items()}
        params = parameters(cfg, teacher.identity, versions_of_prompts, styles)
        writer.refuse_other_parameters(params)
        known = (
            table_writer.rows(out / "tables" / TABLE, ["task_id"])
            if writer.reached is not None
            else []
        )
        done = {row["task_id"] for row in known}
        seen = {task_hash(row["prompt"]) for row in known if row["prompt"]}
        waiting = [snippet for snippet in drawn if snippet.task_id not in done]
        print(f"{len(drawn)} snippets, {len(drawn) - len(waiting)} of them done before", flush=True)
        with Sandbox.of(cfg.sandbox) as sandbox:
            steps = Steps(cfg, teacher, sandbox, texts, seen)
            for start in range(0, len(waiting), cfg.commit_every):
                batch = [Draft(snippet) for snippet in waiting[start : start + cfg.commit_every]]
                began, asked = time.perf_counter(), teacher.asked
                yields = steps.run(batch, lambda step: print(f"  {step} ...", end="", flush=True))
                record = lineage(
                    "rl.synthesize",
                    params,
                    versions,
                    steps={s: asdict(y) for s, y in yields.items()},
                )
                writer.append([draft.row() for draft in batch], record, (writer.reached or 0) + 1)
                kept = sum(draft.reason is None for draft in batch)
                print(
                    f"\n{start + len(batch)}/{len(waiting)} snippets, "
                    f"{kept} problems of {len(batch)}, "
                    f"{teacher.asked - asked} answers asked, {time.perf_counter() - began:.0f} s"
                    + (f", cost {teacher.meter.cost:.4f} so far" if teacher.meter.cost else ""),
                    flush=True,
                )
    print(funnel_text(out, cfg))
    return 0


def read_styles(folder: str) -> list[str]:
    """The styles of the tasks' texts, one per line of styles.txt.

    Raises:
        SeedbedError: for fewer than two styles.
    """
    candidates = [
        Path(folder) / "styles.txt",
        Path(conf.__file__).parents[1] / folder / "styles.txt",
    ]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    lines = [line.strip() for line in file.read_text().splitlines() if line.strip()] if file else []
    if len(set(lines)) < 2:
        raise SeedbedError(
            f"{folder}/styles.txt names {len(set(lines))} styles: a task is told in a blend of two",
            "write one style per line",
        )
    return lines


def parameters(
    cfg: SynthesisConfig, model: dict[str, Any], versions: dict[str, str], styles: Sequence[str]
) -> dict[str, Any]:
    """Everything that a row depends on besides its snippet.

    The number of snippets and the speed of asking are not part of it.
    """
    names = (
        "languages",
        "min_quality",
        "max_lines",
        "min_correctness",
        "min_difficulty",
        "min_tests",
        "rounds",
    )
    chosen = {name: getattr(cfg, name) for name in (*names, "benchmarks", "ngram", "seed")}
    told = hashlib.sha256("\n".join(styles).encode()).hexdigest()[:12]
    return {**chosen, "model": model, "prompts": versions, "styles": told}


def funnel_text(out: Path, cfg: SynthesisConfig) -> str:
    """How many of the table's snippets each step took and dropped, with tokens and cost.

    Raises:
        SeedbedError: where rows and commits disagree.
    """
    rows = table_writer.rows(out / "tables" / TABLE, ["task_id"])
    steps = recorded_yields(out)
    alive = len(rows)
    lines = [
        f"{'step':<12}{'in':>8}{'dropped':>9}  {'left':>7}{'tokens in':>12}{'out':>10}{'cost':>10}"
    ]
    for step, reasons in REASONS.items():
        counts = {
            reason: sum(row["step"] == step and row["reason"] == reason for row in rows)
            for reason in reasons
        }
        meter = Meter(cfg.endpoint)
        meter.add(steps[step]["tokens_in"], steps[step]["tokens_out"])
        before, alive = alive, alive - sum(counts.values())
        if (steps[step]["entered"], steps[step]["left"]) != (before, alive):
            raise SeedbedError(
                f"step {step}: its commits say {steps[step]['entered']} in, "
                f"{steps[step]['left']} left, the rows {before} and {alive}",
                "the table was changed by something else: "
                f"remove {out / 'tables' / TABLE} and run again",
            )
        cost = f"{meter.cost:.4f}" if meter.cost else "-"
        lines.append(
            f"{step:<12}{before:>8}{before - alive:>9}{alive:>7}"
            f"{meter.tokens_in:>12,}{meter.tokens_out:>10,}{cost:>10}"
        )
        lines += [f"  {reason:<18}{count:>9}" for reason, count in counts.items() if count]
    kept = sum(row["reason"] is None for row in rows)
    if kept != alive:
        raise SeedbedError(
            f"the funnel ends at {alive}, the table holds {kept} problems",
            "remove the table and run again",
        )
    return "\n".join(
        [*lines, f"{len(rows)} snippets -> {kept} problems in {out / 'tables' / TABLE}"]
    )


def recorded_yields(out: Path) -> dict[str, dict[str, Any]]:
    """The yields of each step, summed over all commits."""
    total: dict[str, dict[str, Any]] = {
        step: {"entered": 0, "left": 0, "tokens_in": 0, "tokens_out": 0} for step in REASONS
    }
    table = open_table(out / "tables" / TABLE)
    for commit in table.history() if table else ():
        record = json.loads(commit.get("userMetadata") or "{}")
        for step, figures in record.get("steps", {}).items():
            for name in total[step]:
                total[step][name] += figures[name]
    return total


if __name__ == "__main__":
    run_cli(main)
