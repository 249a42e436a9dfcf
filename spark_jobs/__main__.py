"""python -m spark_jobs run --config conf/curate/local.yaml input=PATH output=DIR [until=TABLE] [from=TABLE]
python -m spark_jobs status | funnel  output=DIR
python -m spark_jobs explain PATH_OR_SHA256  output=DIR
python -m spark_jobs certify  output=DIR [TABLE[@VERSION] ...]
python -m spark_jobs diff     output=DIR [from=VERSION] [to=VERSION]
python -m spark_jobs audit    output=DIR [sample=1000] [pool=20000]
python -m spark_jobs whatif  output=DIR --cut 0.2 [--per language] | --threshold 0.3

`run` takes the whole graph through one Spark session and skips what is up to date. The other
commands read the tables
without Spark: at once, but for `audit`, which compares some millions of pairs.
"""

from __future__ import annotations

import sys

from conf.errors import SeedbedError, run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.curate import CurateConfig

COMMANDS = ("run", "status", "funnel", "explain", "certify", "diff", "audit", "whatif")
# Their help is this module's; the other two have a parser of their own.
ANSWERED_HERE = ("status", "funnel", "explain", "certify", "diff", "audit")


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    command, rest = argv[0], argv[1:]
    if command in ANSWERED_HERE and {"-h", "--help"} & set(rest):
        print(__doc__)
        return 0
    if command not in COMMANDS:
        raise SeedbedError(f"unknown command {command!r}", f"use one of: {', '.join(COMMANDS)}")
    if command == "whatif":
        from seedbed.queries import whatif

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
    from seedbed import storage
    from spark_jobs import graph
    from spark_jobs.runtime.job import require_output

    require_output(cfg)
    names = graph.span(until, start)
    if args.dry_run:
        print(to_yaml(cfg))
        for name in names:
            job = graph.job(name)
            print(
                f"# {name}: reads {', '.join(job.reads) or 'input='}; writes {', '.join(job.writes) or 'files'}"
            )
        return 0
    storage.write_text(cfg.output, "curate/config.yaml", to_yaml(cfg))
    worked = graph.run(cfg, names)
    print(f"{worked} of {len(names)} jobs had something to do; tables are in {cfg.output}/tables")
    return 0


def _read(command: str, argv: list[str]) -> int:
    options, wanted = _options(command, argv)
    output = options["output"]
    if command == "explain" and len(wanted) != 1:
        raise SeedbedError(
            f"explain takes one path or SHA-256, got {len(wanted)}",
            "python -m spark_jobs explain PATH output=DIR",
        )
    if wanted and command not in ("explain", "certify"):
        raise SeedbedError(
            f"{command} does not take {wanted[0]!r}", f"python -m spark_jobs {command} output=DIR"
        )
    numbers = {name: _number(name, value) for name, value in options.items() if name != "output"}
    from seedbed.queries import explain

    if command == "explain":
        text = explain.explain(output, wanted[0])
    elif command == "certify":
        from seedbed.queries.certify import certify

        text = certify(output, wanted)
    elif command == "diff":
        from seedbed.queries.diff_clusters import diff

        text = diff(output, numbers.get("from"), numbers.get("to"))
    elif command == "audit":
        from seedbed.queries.audit import audit

        text = audit(output, numbers.get("sample", 1000), numbers.get("pool", 20_000))
    else:
        text = {"status": explain.status, "funnel": explain.funnel_text}[command](output)
    print(text)
    return 0


# of the reading commands, besides output
OPTIONS = {"diff": ("from", "to"), "audit": ("sample", "pool")}


def _options(command: str, argv: list[str]) -> tuple[dict[str, str], list[str]]:
    """(key=value options, other words) of a reading command.

    Raises SeedbedError where output is not among them.
    """
    known = ("output", *OPTIONS.get(command, ()))
    options, wanted = {}, []
    for item in argv:
        name, equals, value = item.partition("=")
        if equals and name in known:
            options[name] = value
        else:
            wanted.append(item)
    if not options.get("output"):
        raise SeedbedError(
            f"{command} needs output=DIR", f"python -m spark_jobs {command} output=runs/demo"
        )
    return options, wanted


def _number(name: str, value: str) -> int:
    if not value.isdigit():
        raise SeedbedError(f"{name}={value} is not a number", f"give {name}=N")
    return int(value)


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
