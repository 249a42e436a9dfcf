"""A lease on a store that compares and writes, with a clock of the test's own."""

from __future__ import annotations

import threading

import pytest

from conf.errors import SeedbedError
from seedbed.stores.lease import TERM_S, Lease, Loss


class Memory:
    """A store in memory. `lose` drops the answer of the next write, `gone` refuses everything."""

    def __init__(self):
        self.files = {}
        self.versions = 0
        self.lose = self.gone = False
        self.refusals = threading.Event()

    def _put(self, path, data):
        if self.gone:
            self.refusals.set()
            raise SeedbedError("the store does not answer", "wait")
        self.versions += 1
        self.files[path] = (data, str(self.versions))
        lost, self.lose = self.lose, False
        return None if lost else str(self.versions)

    def create(self, path, data):
        return None if path in self.files else self._put(path, data)

    def read_version(self, path):
        return self.files.get(path)

    def replace(self, path, data, version):
        found = self.files.get(path)
        return self._put(path, data) if self.gone or (found and found[1] == version) else None

    def delete(self, path):
        self.files.pop(path, None)


@pytest.fixture
def store():
    return Memory()


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def lease(store, clock):
    """Makes a lease by name; all are released with the test."""
    made = []

    def make(name, is_dead=lambda who: False):
        made.append(Lease(store, "lock", {"id": name}, is_dead, lambda: clock[0]))
        return made[-1]

    yield make
    for one in made:
        one._stop.set()


def test_one_holds_it_and_another_is_told_who(store, lease):
    assert lease("a").take() is None
    assert lease("b").take()["id"] == "a"
    assert lease("b").take()["expires"] == 1000 + TERM_S


def test_what_was_released_is_free(store, lease):
    first = lease("a")
    first.take()
    assert first.release() is None
    assert store.files == {}
    assert lease("b").take() is None


def test_a_lease_that_ended_is_taken_over_and_its_holder_learns_it(lease, clock):
    first, second = lease("a"), lease("b")
    first.take()
    clock[0] += TERM_S + 1
    assert second.take() is None
    assert not first.renew()
    assert first.release().holder["id"] == "b"
    assert second.renew()
    second.release()
    # Whoever took it is gone again, and the lease was lost all the same.
    assert first.release() == Loss({})


def test_a_renewed_lease_does_not_end(lease, clock):
    first = lease("a")
    first.take()
    for _ in range(3):
        clock[0] += TERM_S - 1
        assert first.renew()
    assert lease("b").take()["id"] == "a"


def test_a_holder_that_is_dead_for_certain_is_not_waited_for(lease):
    lease("a").take()
    assert lease("b", is_dead=lambda who: who["id"] == "a").take() is None


def test_an_answer_that_was_lost_loses_no_lease(store, lease):
    first = lease("a")
    first.take()
    store.lose = True
    assert first.renew()
    assert first.renew()


def test_of_two_that_take_an_ended_lease_the_store_lets_one(store, lease, clock):
    lease("a").take()
    clock[0] += TERM_S + 1
    second, third = lease("b"), lease("c")
    stale = store.files["lock"]
    assert second.take() is None
    found = store.read_version
    # The third saw the file before the second wrote it.
    store.read_version = lambda path: setattr(store, "read_version", found) or stale
    assert third.take()["id"] == "b"


def test_a_store_that_is_gone_at_the_end_leaves_the_lease_to_end_by_itself(store, lease, clock):
    first, second = lease("a"), lease("b")
    first.take()
    store.gone = True
    assert first.release() is None
    store.gone = False
    clock[0] += TERM_S + 1
    second.take()
    store.gone = True
    clock[0] += TERM_S + 1
    # Nobody is accused: the store says why it is not known.
    assert second.release() == Loss(None, "the store does not answer")


def test_a_lease_that_ended_while_the_store_refused_goes_on_where_nobody_took_it(
    store, lease, clock, monkeypatch
):
    monkeypatch.setattr("seedbed.stores.lease.RENEW_S", 0.01)
    first = lease("a")
    first.take()
    store.gone = True
    clock[0] += TERM_S + 1
    store.refusals.clear()
    # The thread asks on after the end.
    for _ in range(2):
        assert store.refusals.wait(60)
        store.refusals.clear()
    store.gone = False
    assert first.renew()
    assert lease("b").take()["id"] == "a"
    assert first.release() is None
    assert store.files == {}


def test_a_lost_answer_to_the_first_write_does_not_make_us_our_own_rival(store, lease, clock):
    first = lease("a")
    store.lose = True
    assert first.take() is None
    assert first.renew()
    assert lease("b").take()["id"] == "a"
    clock[0] += TERM_S + 1
    # The same where an ended lease is taken over.
    store.lose = True
    assert lease("c").take() is None


def test_a_lock_file_of_something_else_is_an_ended_lease(store, lease):
    store.files["lock"] = (b"[1, 2]", "0")
    assert lease("a").take() is None
