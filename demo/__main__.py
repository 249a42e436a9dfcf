"""Runs the whole line on real code, one program after the other, and compares the result.

    python -m demo [--config conf/demo/full.yaml] [output=runs/demo] [downloads=DIR]
    python -m demo.rounds --config conf/demo/small.yaml output=DIR [rounds=2]
        curates, pretrains and scores again and again: the model selects its own data
    python -m demo.fetch sources=FILE folder=DIR
        downloads the pinned wheels that the demo reads

The demo shows which stage runs and how long is left. It keeps the output of each stage in DIR/demo
and ends with a table of expected against obtained. The same command goes on after a stop, because
each program does.
"""

from __future__ import annotations

import json
from pathlib import Path

from conf.errors import run_cli
from conf.loader import cli_parser, load
from conf.schema.demo import DemoConfig
from demo.expectations import Expected, compare, read_expected, table
from demo.run_stage import run_stage
from demo.stages import Stage, check_programs, stages
from seedbed.files import write_whole


def main(argv: list[str]) -> int:
    """Exit status 0; 1 when a figure is not as expected."""
    args = cli_parser("python -m demo", __doc__).parse_args(argv)
    cfg = load(DemoConfig, args.config, args.overrides)
    expected = read_expected(Path(cfg.expected))
    check_programs(cfg)
    plan = stages(cfg, expected.seconds)
    if args.dry_run:
        for stage in plan:
            print(f"{stage.name:<10} ~{stage.seconds:>4} s  {' '.join(stage.command)}")
        return 0
    minutes = _run(plan, cfg.output, expected) / 60
    rows = compare(cfg.output, expected)
    print(f"\n{table(rows)}\n\n{minutes:.1f} minutes. Report: {Path(cfg.output) / 'report.html'}")
    return 0 if all(row.ok for row in rows) else 1


def _run(plan: list[Stage], output: str, expected: Expected) -> float:
    """Runs all stages and records them in DIR/demo. Gives the seconds that they took."""
    records = Path(output) / "demo"
    records.mkdir(parents=True, exist_ok=True)
    timings: list[dict[str, object]] = []
    total = 0.0
    for number, stage in enumerate(plan):
        left = sum(later.seconds for later in plan[number:])
        times = f"about {stage.seconds} s; {left // 60}:{left % 60:02} to go"
        print(f"\n[{number + 1}/{len(plan)}] {stage.name}: {stage.what}  ({times})", flush=True)
        if stage.name == "report":
            # The page shows the comparison, so it must be written before.
            rows = [vars(row) for row in compare(output, expected)]
            write_whole(records / "results.json", json.dumps(rows, indent=1))
        seconds = run_stage(stage, records / f"{stage.name}.log")
        total += seconds
        timings.append(
            {
                "name": stage.name,
                "command": stage.command,
                "seconds": round(seconds, 1),
                "expected_seconds": stage.seconds,
            }
        )
        write_whole(records / "stages.json", json.dumps(timings, indent=1))
    return total


if __name__ == "__main__":
    run_cli(main)
