"""python -m demo [--config conf/demo/full.yaml] [output=runs/demo] [downloads=DIR]

Runs every stage as its own program, shows where it is and how long is left, keeps each stage's
output in DIR/demo/, and ends with a table of expected against obtained. Stopped half way, it goes
on where it stopped: each program does.
"""

from __future__ import annotations

import json
from pathlib import Path

from conf.errors import run_cli
from conf.loader import cli_parser, load
from conf.schema.demo import DemoConfig
from demo.expectations import compare, read_expected, table
from demo.run_stage import run_stage
from demo.stages import stages


def main(argv: list[str]) -> int:
    args = cli_parser("python -m demo", __doc__).parse_args(argv)
    cfg = load(DemoConfig, args.config, args.overrides)
    expected = read_expected(Path(cfg.expected))
    plan = stages(cfg, expected.seconds)
    if args.dry_run:
        print(
            "\n".join(
                f"{stage.name:<10} ~{stage.seconds:>4} s  {' '.join(stage.command)}"
                for stage in plan
            )
        )
        return 0
    records = Path(cfg.output) / "demo"
    records.mkdir(parents=True, exist_ok=True)
    timings: list[dict[str, object]] = []
    for number, stage in enumerate(plan):
        left = sum(later.seconds for later in plan[number:])
        times = f"about {stage.seconds} s; {left // 60}:{left % 60:02} to go"
        print(f"\n[{number + 1}/{len(plan)}] {stage.name}: {stage.what}  ({times})", flush=True)
        if stage.name == "report":
            # The page shows the stages before it and the comparison, so both are written first.
            rows = compare(cfg.output, expected)
            (records / "results.json").write_text(
                json.dumps([row.__dict__ for row in rows], indent=1)
            )
        seconds = run_stage(stage, records / f"{stage.name}.log")
        timings.append(
            {
                "name": stage.name,
                "command": stage.command,
                "seconds": round(seconds, 1),
                "expected_seconds": stage.seconds,
            }
        )
        (records / "stages.json").write_text(json.dumps(timings, indent=1))
    rows = compare(cfg.output, expected)
    total = sum(float(str(t["seconds"])) for t in timings)
    print(
        f"\n{table(rows)}\n\n{total / 60:.1f} minutes. Report: {Path(cfg.output) / 'report.html'}"
    )
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    run_cli(main)
