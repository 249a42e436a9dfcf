"""python -m spark_jobs run --config conf/curate/local.yaml input=PATH output=DIR [until=TABLE] [from=TABLE]
python -m spark_jobs status | funnel | fingerprint  output=DIR
python -m spark_jobs explain PATH_OR_SHA256  output=DIR
python -m spark_jobs whatif  output=DIR --cut 0.2 [--per language] | --threshold 0.3

`run` takes the whole graph through one Spark session and skips what is up to date. The other commands read the tables
without Spark and answer in a second or two.
"""

from __future__ import annotations

import sys

from conf.errors import SeedbedError, run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.curate import CurateConfig

COMMANDS = ("run", "status", "funnel", "explain", "fingerprint", "whatif")


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    command, rest = argv[0], argv[1:]
    if command not in COMMANDS:
        raise SeedbedError(f"unknown command {command!r}", f"use one of: {', '.join(COMMANDS)}")
    if command == "whatif":
        from spark_jobs import whatif

        return whatif.main(rest)
    return _run(rest) if command == "run" else _read(command, rest)


def _run(argv: list[str]) -> int:
    args = cli_parser("python -m spark_jobs run", __doc__).parse_args(argv)
    until, start, overrides = None, None, []
    for item in args.overrides:
        if item.startswith("until="):
            until = item.removeprefix("until=")
        elif item.startswith("from="):
            start = item.removeprefix("from=")
        else:
            overrides.append(item)
    cfg = load(CurateConfig, args.config, overrides)
    from spark_jobs import graph, storage
    from spark_jobs.job import require_output

    require_output(cfg)
    names = graph.span(until, start)
    if args.dry_run:
        print(to_yaml(cfg))
        for name in names:
            job = graph.job(name)
            print(f"# {name}: reads {', '.join(job.reads) or 'input='}; writes {', '.join(job.writes) or 'files'}")
        return 0
    storage.write_text(cfg.output, "curate/config.yaml", to_yaml(cfg))
    worked = graph.run(cfg, names)
    print(f"{worked} of {len(names)} jobs had something to do; tables are in {cfg.output}/tables")
    return 0


def _read(command: str, argv: list[str]) -> int:
    from spark_jobs import inspect_tables

    wanted = [a for a in argv if not a.startswith("output=")]
    output = next((a.removeprefix("output=") for a in argv if a.startswith("output=")), "")
    if not output:
        raise SeedbedError(f"{command} needs output=DIR", f"python -m spark_jobs {command} output=runs/demo")
    if command == "explain":
        if len(wanted) != 1:
            raise SeedbedError(
                f"explain takes one path or SHA-256, got {len(wanted)}", "python -m spark_jobs explain PATH output=DIR"
            )
        print(inspect_tables.explain(output, wanted[0]))
    elif wanted:
        raise SeedbedError(f"{command} does not take {wanted[0]!r}", f"python -m spark_jobs {command} output=DIR")
    else:
        print(
            {
                "status": inspect_tables.status,
                "funnel": inspect_tables.funnel_text,
                "fingerprint": inspect_tables.fingerprints,
            }[command](output)
        )
    return 0


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
