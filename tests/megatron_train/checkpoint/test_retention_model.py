"""Which checkpoints stay: saves, kills, a small disk, a `latest` set back, against a dictionary."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from conf.errors import SeedbedError
from megatron_train.checkpoint import step_folders

MANIFEST: dict[str, Any] = {"architecture": {"layers": 2}, "extra": {"samples_before": 3}}


# Bytes of one checkpoint on the disk of the model.
SIZE = 10


class Killed(BaseException):
    """The process ends here."""


def _killed_at_latest(path: Path, text: str) -> None:
    if path.name == "latest":
        raise Killed
    path.write_text(text)


class RetentionModel(RuleBasedStateMachine):
    """The model: the steps that are there with what each holds, and where `latest` points."""

    @initialize(keep=st.integers(1, 3), places=st.integers(2, 5))
    def begin(self, keep: int, places: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="seedbed-keep-")) / "checkpoints"
        self.keep = keep
        self.there: dict[int, int] = {}
        self.latest: int | None = None
        # Where the run is, and the number of the save: what a folder holds.
        self.step = self.saves = 0
        # How many checkpoints the disk holds, beside a few bytes of other files.
        self.places = places

    def teardown(self) -> None:
        shutil.rmtree(self.root.parent, ignore_errors=True)

    def _free(self, path: Path) -> types.SimpleNamespace:
        return types.SimpleNamespace(free=(self.places - len(list(path.glob("step_*")))) * SIZE + 3)

    def _make_room(self, partial: Path) -> None:
        before = sorted(self.there)
        # Abandoned steps go first, then what is more than keep, then what stands in the way.
        own = [step for step in before if self.latest is not None and step <= self.latest]
        own = own[-self.keep :]
        while self.places - len(own) < 1 and len(own) > max(self.keep - 1, 1):
            own.pop(0)
        self.there = {step: self.there[step] for step in own}
        with patch.object(step_folders.shutil, "disk_usage", self._free):
            if self.places - len(own) < 1:
                with pytest.raises(SeedbedError, match="nothing was written") as refused:
                    step_folders.make_room(self.root, partial, SIZE, self.keep)
                # Lower keep is named where it would help.
                assert ("lower keep" in refused.value.fix) == (len(own) > 1)
                raise refused.value
            gone = step_folders.make_room(self.root, partial, SIZE, self.keep)
        assert sorted(int(name[5:]) for name in gone) == [s for s in before if s not in own]

    def _write(self) -> tuple[Path, Path]:
        final = self.root / f"step_{self.step:08d}"
        partial = final.with_name(final.name + ".partial")
        try:
            self._make_room(partial)
        except SeedbedError:
            # The user does what the error says.
            self.keep = self.keep - 1 if self.keep > 1 else self.keep
            self.places += self.keep == 1
            self._make_room(partial)
        assert not list(partial.iterdir())
        self.saves += 1
        (partial / "weights").write_text(str(self.saves))
        return partial, final

    def _published(self) -> None:
        self.there[self.step] = self.saves
        self.latest = self.step
        for old in sorted(self.there)[: -self.keep]:
            del self.there[old]

    @rule(steps=st.integers(1, 4))
    def trains_and_saves(self, steps: int) -> None:
        self.step += steps
        partial, final = self._write()
        step_folders.publish(partial, final, {**MANIFEST, "step": self.step}, self.keep)
        self._published()

    @rule(steps=st.integers(1, 4))
    def is_killed_while_it_writes(self, steps: int) -> None:
        self.step += steps
        self._write()
        self.step = self.latest or 0

    @rule(steps=st.integers(1, 4))
    def is_killed_before_latest_moves(self, steps: int) -> None:
        self.step += steps
        partial, final = self._write()
        with (
            patch.object(step_folders, "write_whole", _killed_at_latest),
            pytest.raises(Killed),
        ):
            step_folders.publish(partial, final, {**MANIFEST, "step": self.step}, self.keep)
        self.there[self.step] = self.saves
        # Without a `latest` the run goes on from what is whole.
        if not (self.root / "latest").is_file():
            self.latest = self.step
        self.step = self.latest or 0

    @rule(steps=st.integers(1, 4))
    def is_killed_while_an_old_one_goes(self, steps: int) -> None:
        """What is left of it is not taken for a checkpoint."""
        self.step += steps
        partial, final = self._write()
        with (
            patch.object(step_folders.shutil, "rmtree", side_effect=Killed),
            contextlib.suppress(Killed),
        ):
            step_folders.publish(partial, final, {**MANIFEST, "step": self.step}, self.keep)
        self.there[self.step] = self.saves
        self.latest = self.step
        own = sorted(self.there)
        if len(own) > self.keep:
            del self.there[own[0]]

    @rule(steps=st.integers(1, 4))
    def is_killed_before_old_ones_go(self, steps: int) -> None:
        self.step += steps
        partial, final = self._write()
        step_folders.publish(partial, final, {**MANIFEST, "step": self.step}, 10**6)
        self.there[self.step] = self.saves
        self.latest = self.step

    @rule(keep=st.integers(1, 3), places=st.integers(2, 5))
    def a_user_changes_keep_and_the_disk(self, keep: int, places: int) -> None:
        self.keep = keep
        self.places = max(places, len(self.there))

    @precondition(lambda self: self.latest is not None)
    @rule()
    def a_user_deletes_latest(self) -> None:
        (self.root / "latest").unlink(missing_ok=True)
        self.step = self.latest = max(self.there)

    @precondition(lambda self: len(self.there) > 1)
    @rule(data=st.data())
    def a_user_sets_latest_back(self, data: st.DataObject) -> None:
        """What the error for a damaged checkpoint says to do."""
        self.step = self.latest = data.draw(st.sampled_from(sorted(self.there)))
        (self.root / "latest").write_text(f"step_{self.step:08d}\n")

    @precondition(lambda self: self.latest is not None)
    @rule(text=st.sampled_from(["", "{", "[]", "[" * 3000, '{"step": 3}', "\udcff", None]))
    def damage_is_an_error_with_a_fix(self, text: str | None) -> None:
        file = self.root / f"step_{self.latest:08d}" / "manifest.json"
        before = file.read_bytes()
        if text is None:
            file.unlink()
        else:
            file.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(SeedbedError, match=r"latest"):
            step_folders.read_manifest(self.root)
        file.write_bytes(before)

    @invariant()
    def the_newest_is_whole_and_no_more_stay_than_are_kept(self) -> None:
        if not hasattr(self, "root"):
            return
        newest = step_folders.latest(self.root)
        if self.latest is None:
            assert newest is None
            return
        assert newest is not None
        assert newest.name == f"step_{self.latest:08d}"
        assert step_folders.read_manifest(self.root)["step"] == self.latest
        found = {
            int(folder.name[5:]): int((folder / "weights").read_text())
            for folder in self.root.glob("step_*")
            if folder.suffix != ".partial"
        }
        assert found == self.there


RetentionModel.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestRetentionModel = RetentionModel.TestCase
