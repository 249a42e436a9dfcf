"""Does model B differ from model A on the problems that both answered?

python -m rl.evaluate compare A.json B.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from rl.evaluation import scores


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rl.evaluate compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", type=Path, help="JSON of one evaluation")
    parser.add_argument("second", type=Path, help="JSON of the other")
    args = parser.parse_args(argv)
    first, second = _items(args.first), _items(args.second)
    found = scores.paired(first, second)
    if not found["items"]:
        raise SeedbedError(
            f"{args.first} and {args.second} have no problem in common",
            "compare evaluations of one benchmark",
        )
    apart = len(first) + len(second) - 2 * found["items"]
    if apart:
        print(
            f"note: {apart} problems stand in one file only, or have no verdict, and are left out"
        )
    low, high = found["interval"]
    print(
        f"pass@1 {found['first']:.4f} -> {found['second']:.4f} on {found['items']} problems: "
        f"{found['difference']:+.4f} (95 % interval {low:+.4f} to {high:+.4f})\n"
        f"better on {found['better']}, worse on {found['worse']}; "
        f"two-sided sign-flip test p = {found['p_value']:.4f}"
    )
    return 0


def _items(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text())["items"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SeedbedError(
            f"{path} is not an evaluation ({type(error).__name__}: {error})",
            "give JSON that rl.evaluate wrote",
        ) from error
