"""The processes of one life of an elastic run meet, and meet no dead ones."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
import torch.distributed as dist

from conf.errors import SeedbedError
from megatron_train.parallel.meeting import of_this_life

PATIENCE = timedelta(seconds=20)


def life(store: dist.Store, order: list[int], found: dict[int, dist.Store]) -> None:
    """Processes come one after the other; each writes its address and reads that of its peer."""
    threads = []
    for rank in order:

        def come(rank: int = rank) -> None:
            found[rank] = of_this_life(store, rank, len(order), PATIENCE)

        threads.append(threading.Thread(target=come))
        threads[-1].start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_a_second_life_sees_nothing_of_the_first(order):
    store = dist.HashStore()
    first: dict[int, dist.Store] = {}
    life(store, [0, 1, 2], first)
    first[0].set("address", "dead")
    assert first[2].get("address") == b"dead"
    second: dict[int, dist.Store] = {}
    life(store, order, second)
    assert not second[1].check(["address"])
    second[0].set("address", "alive")
    assert {second[rank].get("address") for rank in (1, 2)} == {b"alive"}
    assert first[0].get("address") == b"dead"


def test_a_process_that_does_not_come_is_named():
    with pytest.raises(SeedbedError, match="process 1 did not come"):
        of_this_life(dist.HashStore(), 0, 2, timedelta(seconds=0.2))
