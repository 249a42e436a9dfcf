"""A progress bar for one long action of an engine, which is looked at while the action runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from seedbed import storage
from spark_jobs.runtime.engines.engine import RunningEngine

# Seconds between two looks.
PAUSE = 1.0
# A look at what is done, and at the whole where that is known.
Look = Callable[[], tuple[float, float | None]]


@contextmanager
def watch(title: str, unit: str, look: Look) -> Iterator[None]:
    """Show inside the block what `look` sees, and the time left where it knows the whole.

    look: runs in a thread of its own.
    """
    stop = threading.Event()

    def poll(bar: tqdm) -> None:
        while not stop.wait(PAUSE):
            done, bar.total = look()
            bar.n = round(done, 1)
            bar.refresh()

    with tqdm(desc=title, unit=f" {unit}", mininterval=1, leave=False, delay=PAUSE) as bar:
        thread = threading.Thread(target=poll, args=(bar,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextmanager
def watch_writing(title: str, engine: RunningEngine, root: str, folder: str) -> Iterator[None]:
    """Show how far the engine is with writing to DIR/`folder`.

    It counts the engine's tasks. Of an engine that tells nothing of its tasks, it shows the
    megabytes on disk.
    """
    engine.describe(title)
    tells = engine.tasks() is not None

    def look() -> tuple[float, float | None]:
        tasks = engine.tasks()
        if tasks is not None:
            return tasks
        found = storage.files_of(root).list(folder, recurse=True)
        return sum(file.size for file in found) / 1e6, None

    with watch(title, "tasks" if tells else "MB", look):
        yield
