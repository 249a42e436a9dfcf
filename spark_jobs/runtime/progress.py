"""A progress bar for one long Spark action, polled while the action holds the main thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark import SparkContext
from tqdm import tqdm


@contextmanager
def task_progress(context: SparkContext, title: str) -> Iterator[None]:
    """Show once a second how many tasks inside the block are done, and the time left."""
    stop = threading.Event()
    tracker = context.statusTracker()
    seen: dict[int, tuple[int, int]] = {}

    def poll(bar: tqdm) -> None:
        while not stop.wait(1.0):
            for stage in tracker.getActiveStageIds():
                info = tracker.getStageInfo(stage)
                if info is not None:
                    seen[stage] = (info.numCompletedTasks, info.numTasks)
            bar.total = sum(total for _, total in seen.values())
            bar.n = sum(done for done, _ in seen.values())
            bar.refresh()

    with tqdm(desc=title, unit=" tasks", mininterval=1, leave=False) as bar:
        thread = threading.Thread(target=poll, args=(bar,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
