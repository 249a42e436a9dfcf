"""A lease against a model: three holders, a clock, lost answers, and a store that refuses."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from conf.errors import SeedbedError
from seedbed.stores.lease import TERM_S, Lease
from tests.seedbed.stores.test_lease import Memory

names = st.sampled_from(["a", "b", "c"])


class LeaseModel(RuleBasedStateMachine):
    """The model: who wrote last without a refusal, and when that ends.

    Two may believe at once that they hold it only while the clock is past the end of one.
    """

    @initialize()
    def begin(self) -> None:
        self.store, self.clock = Memory(), [1000.0]
        self.holders: dict[str, Lease] = {}
        self.owner: str | None = None
        self.ends = 0.0

    def teardown(self) -> None:
        for lease in getattr(self, "holders", {}).values():
            lease._stop.set()

    @rule(name=names, lose=st.booleans())
    def take(self, name: str, lose: bool) -> None:
        if name in self.holders:
            return
        lease = Lease(self.store, "lock", {"id": name}, now=lambda: self.clock[0])
        free = self.owner is None or self.clock[0] >= self.ends
        self.store.lose = lose and free and not self.store.gone
        # The thread that renews is the rule `renew` here.
        with patch.object(lease._thread, "start"), patch.object(lease._thread, "join"):
            try:
                other = lease.take()
            except SeedbedError:
                assert self.store.gone
                return
        if free:
            assert other is None
            self.holders[name] = lease
            self.owner, self.ends = name, self.clock[0] + TERM_S
        else:
            assert other is not None
            assert other["id"] == self.owner

    @rule(name=names, lose=st.booleans())
    def renew(self, name: str, lose: bool) -> None:
        lease = self.holders.get(name)
        if lease is None:
            return
        self.store.lose = lose and not self.store.gone and self.owner == name
        try:
            held = lease.renew()
        except SeedbedError:
            assert self.store.gone
            return
        assert held == (self.owner == name)
        if held:
            self.ends = self.clock[0] + TERM_S
        else:
            del self.holders[name]

    @rule(name=names)
    def release(self, name: str) -> None:
        lease = self.holders.pop(name, None)
        if lease is None:
            return
        with patch.object(lease._thread, "join"):
            loss = lease.release()
        if self.store.gone:
            assert (loss is not None) == (self.clock[0] >= lease._expires)
        elif self.owner == name:
            assert loss is None
            self.owner = None
        else:
            assert loss is not None
            assert loss.holder == {} or loss.holder["id"] == self.owner

    @rule(seconds=st.sampled_from([0.5, TERM_S / 3, TERM_S - 1, TERM_S, TERM_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self.clock[0] += seconds

    @rule(gone=st.booleans())
    def the_store_comes_and_goes(self, gone: bool) -> None:
        self.store.gone = gone

    @invariant()
    def of_those_whose_lease_runs_one_alone_may_write(self) -> None:
        running = [
            name for name, lease in getattr(self, "holders", {}).items()
            if lease._expires > self.clock[0] and lease._version is not None
        ]  # fmt: skip
        assert len(running) <= 1
        assert not running or running == [self.owner]


LeaseModel.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestLeaseModel = LeaseModel.TestCase
