"""Where metrics go beside metrics.jsonl: TensorBoard, MLflow, Weights & Biases or nowhere.

A tracker that is asked for must be installed; nothing falls back in silence.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Protocol

from conf.errors import SeedbedError


class Tracker(Protocol):
    """Takes the rows of metrics.jsonl."""

    def log(self, row: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class Nothing:
    """The tracker of every process but the first, and of a run that asks for none."""

    def log(self, row: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


class TensorBoard:
    """Logs to FOLDER/tensorboard."""

    def __init__(self, folder: Path):
        self._writer = _need("torch.utils.tensorboard", "tensorboard").SummaryWriter(
            str(folder / "tensorboard")
        )

    def log(self, row: dict[str, Any]) -> None:
        for name, value in numbers(row).items():
            self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """Logs to the server that MLFLOW_TRACKING_URI names, as everywhere in MLflow."""

    def __init__(self, folder: Path):
        self._mlflow = _need("mlflow", "mlflow")
        try:
            self._mlflow.set_experiment("seedbed")
            self._mlflow.start_run(run_name=str(folder))
        except Exception as error:
            # For a server that is away or a store that refuses, each client raises its own kind.
            uri = self._mlflow.get_tracking_uri()
            raise SeedbedError(
                f"MLflow cannot begin a run at {uri}: {error}",
                "set MLFLOW_TRACKING_URI to a server or a database, or set tracker=none",
            ) from error

    def log(self, row: dict[str, Any]) -> None:
        self._mlflow.log_metrics(numbers(row), step=row["step"])

    def close(self) -> None:
        self._mlflow.end_run()


class WandB:
    """Logs to FOLDER/wandb and, unless WANDB_MODE=offline, to the server of Weights & Biases.

    WANDB_PROJECT, WANDB_ENTITY and the others count as everywhere. A run that is started again is
    another one in the same group, since W&B takes no step twice.
    """

    def __init__(self, folder: Path):
        wandb = _need("wandb", "wandb")
        # Otherwise it writes below the system's folder for temporary files.
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "seedbed"),
                group=str(folder),
                name=str(folder),
                dir=str(folder),
            )
        except Exception as error:
            # No key, no network and a refusal are errors of several kinds there.
            raise SeedbedError(
                f"W&B cannot begin a run: {str(error).strip().splitlines()[0][:300]}",
                "run `wandb login`, or set WANDB_MODE=offline and send the run later by "
                f"`wandb sync {folder}/wandb/offline-run-*`, or set tracker=none",
            ) from error

    def log(self, row: dict[str, Any]) -> None:
        self._run.log(numbers(row), step=row["step"])

    def close(self) -> None:
        self._run.finish()


KINDS = {
    "none": lambda folder: Nothing(),
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def open_tracker(kind: str, folder: Path, main: bool) -> Tracker:
    """The tracker of this process; only the main process logs.

    Raises:
        SeedbedError: on the main process, where the tracker's package is missing.
    """
    return KINDS[kind](folder) if main else Nothing()


def numbers(row: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a row by flat names, such as sources/web/loss."""
    out: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            out |= numbers(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            out[prefix + key] = value
    return out


def _need(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SeedbedError(
            f"tracker={package} needs the package {package}, which cannot be imported: {error}",
            f"pip install {package}, or set tracker=none: metrics.jsonl holds the same figures",
        ) from error
