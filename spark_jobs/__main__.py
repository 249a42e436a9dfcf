"""python -m spark_jobs COMMAND: runs the curate line, and answers questions to its tables.

`run` takes the whole graph through one Spark session and skips what is up to date. The other
commands read the tables without Spark: at once, but for `audit`, which compares millions of pairs.
"""

from __future__ import annotations

import sys
import textwrap

from conf.errors import SeedbedError, run_cli
from conf.loader import cli_parser, load, to_yaml
from conf.schema.curate import CurateConfig

# command -> (its arguments, what it does)
COMMANDS = {
    "run": (
        "--config FILE input=PATH output=DIR [until=TABLE] [from=TABLE] [key=value]",
        "run every job whose tables are not up to date, in one Spark session",
    ),
    "status": ("output=DIR", "list the tables: rows, versions, and which inputs moved on"),
    "funnel": ("output=DIR", "count every file from the sources down to the documents"),
    "explain": ("PATH_OR_SHA256 output=DIR", "tell one file's whole story"),
    "whatif": (
        "output=DIR cut=0.2 [per=language] [threshold=0.3] [threshold_of=Python=0.5] [scorer=V]",
        "tell what another quality cut would keep",
    ),
    "certify": ("output=DIR [TABLE[@VERSION]]", "print an order-free hash of each table"),
    "diff": ("output=DIR [from=VERSION] [to=VERSION]", "compare two versions of clusters"),
    "audit": (
        "output=DIR [sample=1000] [pool=20000]",
        "measure the precision and recall of near dedup",
    ),
}
# Options of the reading commands that are whole numbers.
NUMBERS = {"diff": ("from", "to"), "audit": ("sample", "pool")}
HELP = ("-h", "--help")


def main(argv: list[str]) -> int:
    if not argv or argv[0] in HELP:
        print(help_text())
        return 0
    command, rest = argv[0], argv[1:]
    if command not in COMMANDS:
        raise SeedbedError(f"unknown command {command!r}", f"use one of: {', '.join(COMMANDS)}")
    if command == "run":
        return _run(rest)
    if command == "whatif":
        from seedbed.queries import whatif

        return whatif.main(rest)
    if any(word in HELP for word in rest):
        arguments, what = COMMANDS[command]
        print(f"python -m spark_jobs {command} {arguments}\n\n{what}")
        return 0
    return _read(command, rest)


def help_text() -> str:
    """All that can be started, one line each."""
    from spark_jobs import graph

    commands = {name: f"{what}: {arguments}" for name, (arguments, what) in COMMANDS.items()}
    return "\n".join(
        [
            __doc__.strip(),
            "",
            "commands:",
            *_listed(commands),
            "",
            "jobs, in the order of `run`; each also starts alone with",
            "spark-submit spark_jobs/JOB.py --config FILE output=DIR [key=value]:",
            *_listed({name: graph.purpose(name) for name in graph.JOBS}),
            "",
            "jobs that `run` does not take:",
            *_listed({name: graph.purpose(name) for name in graph.BESIDE}),
        ]
    )


def _listed(entries: dict[str, str]) -> list[str]:
    margin = " " * 20
    return [
        textwrap.fill(f"  {name:<18}{text}", 100, subsequent_indent=margin)
        for name, text in entries.items()
    ]


def _run(argv: list[str]) -> int:
    parser = cli_parser("python -m spark_jobs run", COMMANDS["run"][1])
    args = parser.parse_args(argv)
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
    from seedbed.stores import run_lock, settings
    from spark_jobs import graph
    from spark_jobs.runtime.job import reads_and_writes, require_output

    require_output(cfg)
    names = graph.span(until, start)
    if args.dry_run:
        print(to_yaml(cfg))
        for name in names:
            print(f"# {name}: {reads_and_writes(graph.job(name))}")
        return 0
    settings.use(cfg.storage)
    with run_lock.writing(cfg.output):
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
    print(_answer(command, output, wanted, numbers))
    return 0


def _answer(command: str, output: str, wanted: list[str], numbers: dict[str, int]) -> str:
    # Each query is imported by the command that asks it, as some need numpy and the kernels.
    if command == "certify":
        from seedbed.queries.certify import certify

        return certify(output, wanted)
    if command == "diff":
        from seedbed.queries.diff_clusters import diff

        return diff(output, numbers.get("from"), numbers.get("to"))
    if command == "audit":
        from seedbed.queries.audit import audit

        return audit(output, numbers.get("sample", 1000), numbers.get("pool", 20_000))
    import seedbed

    run = seedbed.open(output)
    if command == "explain":
        return str(run.explain(wanted[0]))
    return str(run.status() if command == "status" else run.funnel())


def _options(command: str, argv: list[str]) -> tuple[dict[str, str], list[str]]:
    """(key=value options, other words) of a reading command.

    Raises SeedbedError where output is not among them.
    """
    known = ("output", *NUMBERS.get(command, ()))
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
