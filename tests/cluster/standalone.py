"""A standalone cluster of Spark on loopback: a master and two workers with one core each."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyspark

ROOT = Path(__file__).parents[2]
BIN = Path(pyspark.__file__).parent / "bin"
WORKERS = (1, 2)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Standalone:
    """The daemons, each a process of its own, and spark-submit to them.

    folder: takes the logs of the daemons, and `work`, the folders of the executors.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self.environment = os.environ | {
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_WORKER_DIR": str(folder / "work"),
        }
        self._daemons: list[subprocess.Popen[bytes]] = []
        port = free_port()
        self.url = f"spark://127.0.0.1:{port}"
        here = ("--host", "127.0.0.1", "--webui-port", "0")
        self._start("master", "master.Master", *here, "--port", str(port))
        self._wait_for("master", "I have been elected leader")
        for number in WORKERS:
            options = (*here, "--cores", "1", "--memory", "1500m", self.url)
            self._start(f"worker{number}", "worker.Worker", *options)
        for number in WORKERS:
            self._wait_for(f"worker{number}", "Successfully registered")

    def submit(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the project by spark-submit, to its end."""
        command = [BIN / "spark-submit", "--master", self.url, "--executor-memory", "1g"]
        command += ["--properties-file", ROOT / "conf/curate/spark.properties"]
        command += ["--conf", "spark.driver.host=127.0.0.1", ROOT / "spark_jobs" / program]
        return subprocess.run(
            [*command, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def finished_tasks(self, worker: int) -> int:
        """Number of tasks that the executors of a worker have finished, by their logs."""
        return sum(
            log.read_text(errors="replace").count("Finished task")
            for log in self._folder.glob("work/app-*/*/stderr")
            if f"launch executor {log.parts[-3]}/{log.parts[-2]} " in self._log(f"worker{worker}")
        )

    def kill(self, worker: int) -> None:
        """SIGKILL for a worker and for its executors."""
        process = psutil.Process(self._daemons[worker].pid)
        executors = process.children(recursive=True)
        assert executors
        for one in (*executors, process):
            one.kill()

    def stop(self) -> None:
        """End the daemons. Executors end with their worker."""
        for process in self._daemons:
            process.kill()
            process.wait()

    def _start(self, name: str, program: str, *arguments: str) -> None:
        command = [BIN / "spark-class", f"org.apache.spark.deploy.{program}", *arguments]
        with (self._folder / f"{name}.log").open("wb") as out:
            self._daemons.append(
                subprocess.Popen(command, stdout=out, stderr=out, env=self.environment)
            )

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def _wait_for(self, name: str, text: str, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while text not in self._log(name):
            assert time.monotonic() < deadline, f"{name}: no {text!r}: {self._log(name)[-2000:]}"
            time.sleep(0.2)
