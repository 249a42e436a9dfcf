"""The model curates its own data, round after round.

    python -m demo.rounds --config conf/demo/small.yaml output=runs/rounds [rounds=2]

Round 0 selects by the structural scorer, pretrains, fits the regression head on its own model and
scores every survivor with it. Round K starts from the tables of round K-1, selects by the scores of
that model, and does the same again. The rounds differ only in the scorer that selects.

The hold-out is fixed. The validation repositories of round 0 validate in every round, and each
model is measured on the documents that round 0 kept of them.

DIR/round-K has all that a round reads and writes. The loop ends with a table, DIR/rounds.json, and
a report in the last round's folder that compares the rounds. A complete round is not run again.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError, run_cli
from conf.flags import parse_flags
from conf.loader import cli_parser, load
from conf.schema.demo import DemoConfig
from demo.run_stage import run_stage
from demo.stages import Stage, check_programs, module, torchrun
from seedbed.tables.reader import DeltaReader

# Tables that a round takes over from the one before.
INHERITED = (
    "files",
    "repos",
    "contents",
    "signatures",
    "near_misses",
    "near_edges",
    "clusters",
    "repo_overlaps",
    "repo_clusters",
    "syntax",
    "labels",
    "gold_scores",
    "scores",
    "contamination",
)


def main(argv: list[str]) -> int:
    parser = cli_parser("python -m demo.rounds", __doc__)
    parser.add_argument("--rounds", type=int, default=2, help="number of rounds, 2 or more")
    args = parse_flags(parser, argv)
    cfg = load(DemoConfig, args.config, args.overrides)
    if args.rounds < 2:
        raise SeedbedError(f"--rounds {args.rounds}: one round compares nothing", "give 2 or more")
    check_programs(cfg)
    folders = [Path(cfg.output) / f"round-{k}" for k in range(args.rounds)]
    if args.dry_run:
        for k in range(args.rounds):
            for stage in round_stages(cfg, folders, k, []):
                print(f"round {k}  {stage.name:<9} {' '.join(stage.command)}")
        return 0
    rows = []
    for k, folder in enumerate(folders):
        done = folder / "round.json"
        if not done.is_file():
            if k:
                inherit(folders[k - 1], folder)
            repos = validation_repos(folders[0]) if k else []
            (folder / "logs").mkdir(parents=True, exist_ok=True)
            for stage in round_stages(cfg, folders, k, repos):
                print(f"\n[round {k}] {stage.name}: {stage.what}", flush=True)
                run_stage(stage, folder / "logs" / f"{stage.name}.log")
        rows.append(outcome(folder))
        done.write_text(json.dumps(rows[-1], indent=1) + "\n")
    text = json.dumps(rows, indent=1) + "\n"
    (Path(cfg.output) / "rounds.json").write_text(text)
    (folders[-1] / "rounds.json").write_text(text)
    last = Stage(
        "report", "one page of the last round", module("report", f"output={folders[-1]}"), 10
    )
    run_stage(last, folders[-1] / "logs" / "report.log")
    print("\n" + table(rows))
    return 0


def round_stages(cfg: DemoConfig, folders: list[Path], k: int, repos: list[str]) -> list[Stage]:
    """The commands of round `k`. repos: the validation repositories that round 0 drew."""
    out = f"output={folders[k]}"
    curate = ["--config", cfg.curate, f"input={cfg.downloads}", out]
    # The scorer of each round is another model. So its drift on the gold set is recorded, but not
    # limited.
    lm = [
        "score.scope=survivors",
        f"score.max_tokens={cfg.scorer_tokens}",
        "score.max_gold_shift=1",
    ]
    if k == 0:
        line = [
            Stage(
                "fetch",
                "real source archives",
                module("demo.fetch", f"sources={cfg.sources}", f"folder={cfg.downloads}"),
                60,
            )
        ]
        line.append(
            Stage(
                "curate", "archives -> tables -> tokens", module("spark_jobs", "run", *curate), 240
            )
        )
    else:
        before = [
            *lm,
            f"score.scorer={folders[k - 1]}/scorers/language_model",
            f"select.val_repos=[{','.join(repos)}]",
        ]
        select = module("spark_jobs", "run", *curate, *before, "from=decisions")
        line = [Stage("curate", f"select by the model of round {k - 1}", select, 120)]
    launch = torchrun(cfg.pretrain_ranks, "megatron_train.pretrain", "--config", cfg.pretrain, out)
    fit = module("megatron_train.train_scorer", "--config", cfg.pretrain, out)
    holdout = ["--config", cfg.pretrain, out, "--holdout", str(folders[0])]
    own = f"score.scorer={folders[k]}/scorers/language_model"
    return [
        *line,
        Stage("pretrain", "Megatron", launch, 150),
        Stage(
            "holdout",
            "bits per byte on the fixed hold-out",
            module("megatron_train.bits_per_byte", *holdout),
            30,
        ),
        Stage("scorer", "regression head on the new model", fit, 45),
        Stage(
            "score",
            "every survivor",
            module("spark_jobs", "run", *curate, *lm, own, "from=scores", "until=scores"),
            120,
        ),
    ]


def inherit(before: Path, folder: Path) -> None:
    """Gives a round its own copy of the verdict tables of the round before.

    Data files are hard links, because Delta never changes a file. The log is copied, because it
    grows. A copy that was not finished is made again.
    """
    if (folder / "tables").is_dir():
        return
    partial = folder / "tables.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for name in INHERITED:
        source = before / "tables" / name
        if source.is_dir():
            shutil.copytree(source / "_delta_log", partial / name / "_delta_log")
            ignore = shutil.ignore_patterns("_delta_log")
            shutil.copytree(
                source, partial / name, copy_function=os.link, ignore=ignore, dirs_exist_ok=True
            )
    shutil.copytree(
        before / "scorers",
        folder / "scorers",
        ignore=shutil.ignore_patterns("language_model*"),
        dirs_exist_ok=True,
    )
    partial.rename(folder / "tables")


def validation_repos(folder: Path) -> list[str]:
    """The sorted repositories of a run's validation documents."""
    db = DeltaReader(str(folder))
    return [
        row["repo"]
        for row in db.sql("SELECT DISTINCT repo FROM documents WHERE split = 'val' ORDER BY 1")
    ]


def outcome(folder: Path) -> dict[str, Any]:
    """The figures by which a finished round is compared."""
    db = DeltaReader(str(folder))
    params = db.lineage("decisions")["params"]
    totals = db.one("SELECT count(*) AS documents, sum(bytes) AS bytes FROM documents")
    tokens = db.one("SELECT sum(tokens) AS n FROM token_index WHERE split = 'train'")["n"]
    card = json.loads((folder / "scorers/language_model/scorer.json").read_text())
    return {
        "round": folder.name,
        "selected_by": params["scorer"],
        "documents": totals["documents"],
        "train_tokens": int(tokens),
        "mix": shares(db, "language", totals["bytes"]),
        "licenses": shares(db, "license", totals["bytes"]),
        "bits_per_byte": json.loads((folder / "pretrain/holdout.json").read_text())[
            "bits_per_byte"
        ],
        "scorer": card["version"],
        "label_mae": card["mae"],
        "tables": {name: db.version(name) for name in db.names},
    }


def shares(db: DeltaReader, column: str, whole: int) -> dict[str, float]:
    """The five most frequent values of a column, with their shares of the documents' bytes."""
    rows = db.sql(
        f"SELECT coalesce({column}, 'unknown') AS name, sum(bytes) AS size FROM documents "
        "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5"
    )
    return {row["name"]: round(row["size"] / whole, 4) for row in rows}


def table(rows: list[dict[str, Any]]) -> str:
    """One line per round, then the languages and licences of each."""
    lines = [
        f"{'':<9}{'documents':>10}{'tokens':>12}{'bits/byte':>11}"
        f"{'label MAE of its scorer':>25}  selected by"
    ]
    lines += [
        f"{row['round']:<9}{row['documents']:>10,}{row['train_tokens']:>12,}"
        f"{row['bits_per_byte']:>11.4f}{row['label_mae']:>25.2f}  {row['selected_by']}"
        for row in rows
    ]
    for what, key in (("languages", "mix"), ("licences", "licenses")):
        lines.append(f"{what} by bytes")
        lines += [
            f"{row['round']:<9}  " + ", ".join(f"{n} {s:.1%}" for n, s in row[key].items())
            for row in rows
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
