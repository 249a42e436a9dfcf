"""The environments by the names that settings give them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from conf.schema.rl import EnvironmentConfig
from rl.environments.episode import Environment, Single
from rl.environments.mend import Mend
from rl.environments.own import OwnEnvironment

ENVIRONMENTS: dict[str, type[Environment]] = {"single": Single, "mend": Mend}


@contextmanager
def open_environment(cfg: EnvironmentConfig) -> Iterator[Environment]:
    """The environment of the settings, which is closed at the end.

    Raises SeedbedError where it is a function that cannot be used.
    """
    environment = (OwnEnvironment if cfg.is_own else ENVIRONMENTS[cfg.name])(cfg)
    try:
        yield environment
    finally:
        environment.close()
