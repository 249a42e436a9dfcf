"""A disk that fills up at any place of a pretraining run gives one line, and costs a restart.

Each case has a small disk of its own, in a mount namespace.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.megatron_train import tiny
from tests.megatron_train.test_pretrain import OPTIONS

pytestmark = pytest.mark.slow
ISOLATE = ["unshare", "--user", "--map-root-user", "--mount"]
# A checkpoint of this model takes 0.52 MB, and its export 0.2 MB.
PREPARE = """
set -u
mount -t tmpfs -o size=$SIZE none "$DISK" || exit 99
mkdir "$DISK/run" && cp -r "$TOKENS" "$DISK/run/tokens" || exit 99
# All but some kilobytes of the disk.
fill() {
    head -c 1G /dev/zero >"$DISK/filler" 2>/dev/null
    truncate -s "-${1:-0}K" "$DISK/filler"
}
train() { name=$1; shift; "$@" >"$OUT/$name" 2>&1; echo $? >"$OUT/$name.code"; }
"""


@pytest.fixture
def small_disk(token_folder, tmp_path):
    """Runs a script on a disk of some size; returns the folder of what its programs said."""
    if subprocess.run([*ISOLATE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this host lets no one make a mount namespace: unshare --user --mount fails")

    def run(size: str, script: str, processes: int = 1) -> Path:
        disk, out = tmp_path / "disk", tmp_path / "out"
        disk.mkdir()
        out.mkdir()
        pretrain = [
            *tiny.launcher(processes),
            *("-m", "megatron_train.pretrain", f"output={disk}/run", *OPTIONS),
        ]
        environment = tiny.environment() | {
            "DISK": str(disk),
            "OUT": str(out),
            "SIZE": size,
            "TOKENS": str(token_folder / "tokens"),
        }
        command = [*ISOLATE, "bash", "-c", PREPARE + script, "-", *pretrain]
        done = subprocess.run(
            command, cwd=tiny.ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return out

    return run


def refused(out: Path, name: str, *words: str) -> None:
    said = (out / name).read_text()
    assert (out / f"{name}.code").read_text() != "0\n", said
    # torchrun adds a traceback of its own, after what the processes said.
    own = re.split(r"(?m)^E\d{4} ", said)[0]
    assert "Traceback" not in own, said
    for word in ("error: ", "fix: ", *words):
        assert word in said, said


def ended(out: Path, name: str) -> None:
    assert (out / f"{name}.code").read_text() == "0\n", (out / name).read_text()


def losses(file: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in file.read_text().splitlines()]


def test_a_disk_that_keep_fills_says_lower_keep_and_that_helps(small_disk, tmp_path):
    out = small_disk(
        "1500k",
        """
train first "$@" keep=5 save_every=2
train second "$@" keep=1 save_every=2
ls "$DISK/run/pretrain/checkpoints" >"$OUT/left"
cp "$DISK/run/pretrain/metrics.jsonl" "$OUT/small.jsonl"
mount -o remount,size=1g "$DISK" && rm -r "$DISK/run/pretrain" || exit 1
train whole "$@" keep=5 save_every=2
cp "$DISK/run/pretrain/metrics.jsonl" "$OUT/whole.jsonl"
""",
    )
    refused(out, "first", "keep=5", "lower keep", "it goes on from step_00000004")
    ended(out, "second")
    ended(out, "whole")
    assert (out / "left").read_text().split() == ["latest", "step_00000014"]
    assert losses(out / "small.jsonl") == losses(out / "whole.jsonl")


@pytest.mark.parametrize("processes", [1, 2])
def test_an_export_without_room_is_one_line_and_leaves_nothing(small_disk, processes):
    out = small_disk(
        "4m",
        """
train first "$@" keep=1
rm -r "$DISK/run/hf"; fill 64
train full "$@" keep=1
ls "$DISK/run" >"$OUT/left"
rm "$DISK/filler"
train again "$@" keep=1
test -f "$DISK/run/hf/model.safetensors"
""",
        processes,
    )
    ended(out, "first")
    refused(out, "full", "free space there", "hf")
    assert "hf" not in (out / "left").read_text()
    ended(out, "again")


def test_metrics_and_indices_without_room_are_one_line(small_disk):
    out = small_disk(
        "3m",
        """
train first "$@" keep=1
fill
train metrics "$@" keep=1 schedule.steps=400 save_every=500 eval_every=0
rm -r "$DISK/filler" "$DISK/run/pretrain"; fill
train index "$@"
""",
    )
    ended(out, "first")
    refused(out, "metrics", "No space left on device", "metrics.jsonl")
    refused(out, "index", "No space left on device")


def test_a_folder_that_cannot_be_written_is_one_line(small_disk):
    out = small_disk(
        "3m",
        """
mount -o remount,ro "$DISK"
train closed "$@"
""",
    )
    refused(out, "closed", "Read-only file system")
