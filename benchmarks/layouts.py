"""A config -> a table: layouts on up to eight processes, each compared with one process.

    python -m benchmarks.layouts [--config conf/pretrain/seed_coder_8b.yaml] [--processes 8]

A row holds the largest differences of losses and gradients and the time that it took to compare.
Every row is one `python -m megatron_train verify_layout`: five steps in fp32 of the config's model,
shrunk. They have uneven loss masks, a context-parallel shard that is masked whole, document borders
inside chunks, and a checkpoint in between. Differences are relative to a tensor's largest value.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import asdict

from conf.loader import load
from conf.schema.layout import ParallelConfig
from conf.schema.pretrain import PretrainConfig
from megatron_train.verify_layout import shrink, verify

# (settings of parallel.*, data-parallel replicas): each kind by itself, then several together.
LAYOUTS: list[tuple[dict[str, int | bool | str], int]] = [
    ({"tp": 2}, 1),
    ({"tp": 2, "sequence_parallel": True}, 1),
    ({"pp": 2}, 1),
    ({"pp": 2, "vpp": 2}, 1),
    ({"cp": 2}, 1),
    ({}, 2),
    ({"distributed_optimizer": True, "overlap": True}, 2),
    ({"pp": 2, "recompute": "full"}, 1),
    ({"tp": 2, "pp": 2}, 1),
    ({"cp": 2, "pp": 2, "vpp": 2, "overlap": True}, 1),
    ({"tp": 4, "sequence_parallel": True}, 1),
    ({"cp": 4}, 1),
    ({"pp": 4}, 1),
    ({"tp": 2, "cp": 2, "sequence_parallel": True, "distributed_optimizer": True}, 2),
    ({"tp": 2, "pp": 2, "cp": 2}, 1),
    (
        {
            "tp": 2,
            "pp": 2,
            "vpp": 2,
            "distributed_optimizer": True,
            "overlap": True,
            "recompute": "full",
        },
        2,
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="conf/pretrain/seed_coder_8b.yaml")
    parser.add_argument("--processes", type=int, default=8, help="leave out layouts that need more")
    args = parser.parse_args()
    print(
        "| layout | processes | loss | gradients | weights after 5 steps "
        "| CPU seconds, wall seconds |"
    )
    print("|---|---|---|---|---|---|")
    for settings, dp in LAYOUTS:
        changes = {**asdict(ParallelConfig()), **settings}
        cfg = load(
            PretrainConfig,
            args.config,
            [f"parallel.{key}={_yaml(value)}" for key, value in changes.items()],
        )
        p = cfg.parallel
        processes = p.tp * p.pp * p.cp * dp
        if processes > args.processes:
            continue
        began, used = time.perf_counter(), _children()
        rows = verify(shrink(cfg, dp), dp)
        worst = [
            max(row.difference for row in rows if row.what.startswith(kind))
            for kind in ("loss", "grad", "weight")
        ]
        cells = [f"{value:.1e}" for value in worst]
        name = ", ".join(f"{key} {_yaml(value)}" for key, value in settings.items())
        replicas = f"dp {dp}" if dp > 1 else ""
        name = ", ".join(filter(None, [name, replicas])).replace(" true", "")
        times = f"{_children() - used:.0f}, {time.perf_counter() - began:.0f}"
        print(f"| {name} | {processes} | {' | '.join(cells)} | {times} |", flush=True)


def _yaml(value: int | bool | str) -> str:
    return str(value).lower()


def _children() -> float:
    """CPU seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
