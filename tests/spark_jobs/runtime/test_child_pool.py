"""Python functions in child processes: rows, order, errors, deaths and waiting."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.serializers import CloudPickleSerializer

from conf.errors import SeedbedError
from spark_jobs.runtime.children.child import Child
from spark_jobs.runtime.children.pool import ChildPool

Batches = Iterator[pa.RecordBatch]


@pytest.fixture(scope="module")
def pool() -> ChildPool:
    return ChildPool(1, patience=0.1)


def run(pool: ChildPool, function: Callable[[Batches], Batches], batches: Batches) -> Batches:
    return pool.run("stage", CloudPickleSerializer().dumps(function), batches)


def numbers(*rows: int) -> Batches:
    """One batch of `n` rows for each of `rows`, counting up."""
    start = 0
    for n in rows:
        yield pa.record_batch({"n": pa.array(range(start, start + n), pa.int64())})
        start += n


def read(batches: Batches) -> list[int]:
    return [n for batch in batches for n in batch["n"].to_pylist()]


def doubled(batches: Batches) -> Batches:
    for batch in batches:
        yield pa.record_batch({"n": pa.array([2 * n for n in batch["n"].to_pylist()], pa.int64())})


def same(batches: Batches) -> Batches:
    yield from batches


def own_pid(batches: Batches) -> Batches:
    list(batches)
    yield pa.record_batch({"n": [os.getpid()]})


@pytest.mark.parametrize("rows", [(), (0,), (1,) * 3000, (0, 5000, 0, 3), (20_000,)], ids=str)
def test_a_child_gives_the_rows_of_the_function_in_their_order(pool, rows):
    assert read(run(pool, doubled, numbers(*rows))) == read(doubled(numbers(*rows)))


def test_rows_may_come_before_the_input_and_after_its_end(pool):
    def framed(batches: Batches) -> Batches:
        yield pa.record_batch({"n": [-1]})
        yield from batches
        yield pa.record_batch({"n": [-2]})

    assert read(run(pool, framed, numbers(2))) == [-1, 0, 1, -2]
    assert read(run(pool, framed, numbers())) == [-1, -2]


def test_a_function_may_leave_input_unread_and_the_child_serves_on(pool):
    def first_only(batches: Batches) -> Batches:
        yield next(batches)

    assert read(run(pool, first_only, numbers(2000, 2000))) == list(range(2000))
    assert read(run(pool, same, numbers(3))) == [0, 1, 2]


def test_batches_with_other_columns_may_follow(pool):
    def renamed(batches: Batches) -> Batches:
        for batch in batches:
            yield batch
            yield batch.rename_columns(["m"])

    assert [b.schema.names for b in run(pool, renamed, numbers(1))] == [["n"], ["m"]]


def test_a_child_and_its_function_are_kept_for_the_next_call(pool, tmp_path):
    class Told:
        """Tells in a file that it was unpickled."""

        def __setstate__(self, state: dict) -> None:
            with open(state["file"], "a") as file:
                file.write("once\n")

    told = Told()
    told.file = str(tmp_path / "told")  # type: ignore[attr-defined]
    pids = {read(run(pool, lambda b, told=told: own_pid(b), numbers(1)))[0] for _ in range(3)}
    assert len(pids) == 1
    assert (tmp_path / "told").read_text() == "once\n"


def test_an_error_of_ours_comes_back_whole(pool):
    def refuses(batches: Batches) -> Batches:
        raise SeedbedError("the problem", "the fix")
        yield

    with pytest.raises(SeedbedError) as raised:
        list(run(pool, refuses, numbers(1)))
    assert (raised.value.problem, raised.value.fix) == ("the problem", "the fix")


def test_another_error_comes_back_with_its_traceback(pool):
    def fails(batches: Batches) -> Batches:
        yield next(batches)
        raise ValueError("seven is no good")

    with pytest.raises(RuntimeError, match=r"in fails\n.*\nValueError: seven is no good\n$"):
        list(run(pool, fails, numbers(1)))


def test_a_function_that_cannot_be_loaded_is_an_error_of_its_call(pool):
    with pytest.raises(RuntimeError, match="UnpicklingError"):
        list(pool.run("stage", b"no pickle", numbers(1)))
    assert read(run(pool, same, numbers(1))) == [0]


def test_a_killed_child_is_one_error_that_names_it(pool):
    def dies(batches: Batches) -> Batches:
        yield next(batches)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(SeedbedError, match=r"worker \d+ was killed by SIGKILL.*memory"):
        list(run(pool, dies, numbers(1)))
    assert read(run(pool, same, numbers(1))) == [0]


def test_a_child_that_ends_by_itself_is_an_error_with_its_status(pool):
    def leaves(batches: Batches) -> Batches:
        os._exit(7)
        yield

    with pytest.raises(SeedbedError, match="ended with status 7"):
        list(run(pool, leaves, numbers(1)))


def test_an_idle_child_that_was_killed_is_replaced(pool):
    pid = read(run(pool, own_pid, numbers(1)))[0]
    (idle,) = pool._idle
    os.kill(pid, signal.SIGKILL)
    # The kernel hands a process over when its last thread has ended, some time after its first.
    _wait(lambda: not idle.alive())
    assert read(run(pool, own_pid, numbers(1)))[0] != pid


def test_an_error_of_the_input_ends_the_call_and_the_child(pool):
    def broken() -> Batches:
        yield from numbers(3000)
        raise KeyError("upstream")

    started = read(run(pool, own_pid, numbers(1)))[0]
    with pytest.raises(KeyError, match="upstream"):
        list(run(pool, same, broken()))
    _wait(lambda: not _alive(started))
    assert read(run(pool, same, numbers(1))) == [0]


def test_a_call_that_is_closed_early_unwinds_its_function(pool, tmp_path):
    mark = str(tmp_path / "unwound")

    def holds(batches: Batches) -> Batches:
        try:
            while True:
                yield pa.record_batch({"n": [os.getpid()]})
        finally:
            Path(mark).touch()

    call = run(pool, holds, numbers(1))
    pid = read([next(call)])[0]
    call.close()
    _wait(lambda: not _alive(pid))
    assert os.path.exists(mark)


def test_the_second_word_of_an_end_does_not_cut_the_unwinding_short(tmp_path):
    """The socket tells of the end, and SIGTERM comes while the function is being unwound."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def holds(batches: Batches) -> Batches:
        try:
            while True:
                yield pa.record_batch({"n": [os.getpid()]})
        finally:
            begun.touch()
            time.sleep(0.5)
            ended.touch()

    child = Child()
    child.begin(CloudPickleSerializer().dumps(holds))
    child.answer()
    child._socket.shutdown(socket.SHUT_RDWR)
    _wait(begun.exists)
    child.end()
    assert ended.exists()


def test_an_error_of_the_input_is_not_taken_for_the_end_of_the_child(pool):
    def cut_short() -> Batches:
        yield from numbers(1)
        raise EOFError("a cut-off file")

    with pytest.raises(EOFError, match="a cut-off file"):
        read(run(pool, same, cut_short()))


def test_input_is_read_only_as_far_as_the_output_is(pool):
    pulled = []

    def endless() -> Batches:
        for number in range(10**9):
            pulled.append(number)
            yield pa.record_batch({"text": ["x" * 1_000_000] * 8})

    call = run(pool, same, endless())
    for _ in range(3):
        next(call)
    call.close()
    assert len(pulled) <= 5


def test_a_stage_of_many_partitions_starts_no_more_children_than_the_pool_has_places():
    pool = ChildPool(2)
    pids: list[int] = []
    threads = [
        threading.Thread(target=lambda: pids.extend(read(run(pool, own_pid, numbers(1)))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 8
    assert len(set(pids)) <= 2


def test_a_function_may_read_the_output_of_another(pool):
    blob = CloudPickleSerializer().dumps(doubled)
    inner = pool.run("first", blob, numbers(5000, 10))
    assert read(pool.run("second", blob, inner)) == [4 * n for n in range(5010)]


def test_a_call_whose_output_nobody_reads_does_not_stop_the_next(pool):
    unread = run(pool, same, numbers(2))
    next(unread)
    assert read(run(pool, same, numbers(3))) == [0, 1, 2]
    unread.close()


def test_a_call_that_waits_for_input_does_not_stop_the_one_that_frees_it(pool):
    """An exchange before both stands still while one of its readers takes nothing."""
    begun = threading.Event()

    def held_up() -> Batches:
        assert begun.wait(20), "the other call never took its input"
        yield from numbers(2)

    def freeing() -> Batches:
        begun.set()
        yield from numbers(3)

    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.extend(read(run(pool, same, held_up()))))
    waiting.start()
    time.sleep(0.5)
    assert read(run(pool, same, freeing())) == [0, 1, 2]
    waiting.join()
    assert found == [0, 1]


def megabytes(count: int) -> Batches:
    """One batch of a row of about a megabyte for each number up to `count`."""
    for n in range(count):
        yield pa.record_batch({"n": [n], "text": ["x" * 1_000_000]})


def told_apart(folder: Path, children: int) -> Callable[[Batches], Batches]:
    """A function that gives (n, pid), and goes on once `children` of them have input."""

    def wait_and_tell(batches: Batches) -> Batches:
        until = time.monotonic() + 20
        for batch in batches:
            (folder / str(os.getpid())).touch()
            while len(list(folder.iterdir())) < children and time.monotonic() < until:
                time.sleep(0.01)
            yield pa.record_batch({"n": batch["n"], "pid": [os.getpid()] * len(batch)})

    return wait_and_tell


def test_idle_cores_help_with_a_partition_where_rows_do_not_depend_on_each_other(tmp_path):
    blob = CloudPickleSerializer().dumps(told_apart(tmp_path, 3))
    found = pa.Table.from_batches(ChildPool(3).run("stage", blob, megabytes(40), by_row=True))
    assert sorted(found["n"].to_pylist()) == list(range(40))
    assert len(set(found["pid"].to_pylist())) == 3


def test_a_function_that_sees_all_rows_of_a_partition_has_one_child(tmp_path):
    blob = CloudPickleSerializer().dumps(told_apart(tmp_path, 1))
    found = pa.Table.from_batches(ChildPool(3).run("stage", blob, megabytes(40)))
    assert found["n"].to_pylist() == list(range(40))
    assert len(set(found["pid"].to_pylist())) == 1


def test_one_batch_starts_one_child():
    pool = ChildPool(3)
    blob = CloudPickleSerializer().dumps(same)
    for rows in (0, 1, 2000):
        assert read(pool.run("stage", blob, numbers(rows), by_row=True)) == list(range(rows))
    assert len(pool._idle) == 1


def test_a_helper_leaves_where_another_partition_waits_for_its_slot(tmp_path):
    """Two slots: one call has both, until a second call comes."""
    pool, found = ChildPool(2, patience=60), []
    blob = CloudPickleSerializer().dumps(told_apart(tmp_path, 2))
    first = pool.run("stage", blob, megabytes(30), by_row=True)
    begun = [next(first) for _ in range(4)]
    second = threading.Thread(
        target=lambda: found.extend(read(pool.run("stage", blob, megabytes(3), by_row=True)))
    )
    second.start()
    # Nobody reads the first call's rows from here on, unless it has given its slot away.
    while second.is_alive():
        batch = next(first, None)
        if batch is None:
            break
        begun.append(batch)
        time.sleep(0.05)
    second.join()
    assert sorted(found) == [0, 1, 2]
    assert sorted(read(iter([*begun, *first]))) == list(range(30))
    assert len(begun) < 30


def test_a_helper_that_is_killed_ends_the_call(tmp_path):
    pool = ChildPool(2)

    def one_dies(batches: Batches) -> Batches:
        for batch in batches:
            try:
                (tmp_path / "first").mkdir()
            except FileExistsError:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.2)
            yield batch

    blob = CloudPickleSerializer().dumps(one_dies)
    with pytest.raises(SeedbedError, match=r"worker \d+ was killed by SIGKILL"):
        list(pool.run("stage", blob, megabytes(30), by_row=True))
    blob = CloudPickleSerializer().dumps(same)
    assert sum(map(len, pool.run("stage", blob, megabytes(30), by_row=True))) == 30


def test_children_end_with_a_killed_server(tmp_path):
    code = """
    import time, pyarrow as pa
    from pyspark.serializers import CloudPickleSerializer
    from spark_jobs.runtime.children.pool import POOL

    def sleeps(batches):
        import os, time
        print(os.getpid(), flush=True)
        time.sleep(600)
        yield

    list(POOL.run("stage", CloudPickleSerializer().dumps(sleeps), iter(())))
    """
    server = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert server.stdout is not None
    child = int(server.stdout.readline())
    server.kill()
    server.wait()
    _wait(lambda: not _alive(child))
    server.stdout.close()


def _alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come true in 30 seconds")
