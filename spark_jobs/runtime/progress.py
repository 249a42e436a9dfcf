"""A progress bar for one long action, which counts what is on disk while the action runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

# Seconds between two looks.
PAUSE = 2.0


@contextmanager
def watch(title: str, total: int, unit: str, done: Callable[[], int]) -> Iterator[None]:
    """Show how many of `total` are done inside the block, and the time left.

    done: counts them; it runs in a thread of its own. Engines tell different things of their tasks,
        and some nothing, but all leave their work on disk.
    """
    stop = threading.Event()

    def poll(bar: tqdm) -> None:
        while not stop.wait(PAUSE):
            bar.update(done() - bar.n)

    with tqdm(total=total, desc=title, unit=f" {unit}", mininterval=1, leave=False) as bar:
        thread = threading.Thread(target=poll, args=(bar,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
