"""HDFS and YARN on loopback, and spark-submit to them, as a user without this checkout submits."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import psutil
import pyspark
from hdfs_native import Client, WriteOptions

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SPARK = Path(pyspark.__file__).parent
# Hadoop reaches into these parts of the Java runtime.
OPENED = [f"--add-opens=java.base/java.{part}=ALL-UNNAMED" for part in ("lang", "util", "net")]
EXECUTOR = "org.apache.spark.executor.YarnCoarseGrainedExecutorBackend"
MASTER = "org.apache.spark.deploy.yarn.ExecutorLauncher"


def missing() -> str:
    """Why no cluster can start here; "" where one can."""
    tools = {"java": "make java", "mvn": "apt-get install maven"}
    lacking = [f"{name} ({fix})" for name, fix in tools.items() if shutil.which(name) is None]
    return f"needs {', '.join(lacking)}" if lacking else ""


class MiniCluster:
    """Two nodes in one JVM. `folder` takes the jars, the data of the nodes and all logs.

    The archive of `make dist` is put into HDFS, and unpacked beside the nodes for the submitter. So
    neither side sees this checkout or its virtual environment.
    """

    def __init__(self, folder: Path, archive: Path):
        self.folder = folder
        jars = folder / "jars"
        maven = ["mvn", "-q", "-B", "-f", HERE / "pom.xml", "dependency:copy-dependencies"]
        subprocess.run([*maven, f"-DoutputDirectory={jars}"], check=True)
        log = (folder / "nodes.log").open("wb")
        program = [HERE / "MiniCluster.java", folder / "nodes"]
        self._nodes = subprocess.Popen(
            ["java", *OPENED, "-cp", f"{jars}/*", *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
        )
        self.uri = self._answer("READY").split()[1]
        self.edge = folder / "edge"
        with tarfile.open(archive) as packed:
            packed.extractall(self.edge, filter="tar")
        self.archive = self.put(archive, "/environment.tar.gz")

    def put(self, path: Path, name: str) -> str:
        """Copy a file, or what is in a folder, into HDFS as `name`; returns its URI there."""
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                below = "" if file == path else f"/{file.relative_to(path)}"
                writer = Client(self.uri).create(name + below, WriteOptions())
                with file.open("rb") as stream:
                    while piece := stream.read(8 << 20):
                        writer.write(piece)
                writer.close()
        return f"{self.uri}{name}"

    def command(self, mode: str, *program: str | Path) -> tuple[list[str], dict[str, str]]:
        """(spark-submit in a deploy mode with two executors, its environment)."""
        options = {
            "spark.executor.instances": "2",
            "spark.executor.cores": "1",
            "spark.executor.memory": "1g",
            "spark.driver.memory": "1g",
            "spark.driver.host": "127.0.0.1",
            # Spark itself is installed on every node; nothing else is.
            "spark.yarn.jars": f"local:{SPARK}/jars/*",
            "spark.ui.enabled": "false",
        }
        if mode == "cluster":
            del options["spark.driver.host"]
        words = [str(SPARK / "bin/spark-submit"), "--master", "yarn", "--deploy-mode", mode]
        words += ["--properties-file", str(self.packages / "conf/curate/spark.properties")]
        words += ["--archives", f"{self.archive}#environment"]
        for key, value in options.items():
            words += ["--conf", f"{key}={value}"]
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "VIRTUAL_ENV", "SPARK_HOME")
        } | {
            "SPARK_LOCAL_IP": "127.0.0.1",
            "HADOOP_CONF_DIR": str(self.folder / "nodes/conf"),
            "PYSPARK_PYTHON": "./environment/bin/python",
        }
        if mode == "client":
            environment["PYSPARK_DRIVER_PYTHON"] = str(self.edge / "bin/python")
        return [*words, *map(str, program)], environment

    def submit(self, mode: str, *program: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, from a folder that holds nothing of ours."""
        command, environment = self.command(mode, *program)
        return subprocess.run(
            command, env=environment, cwd=self.edge, capture_output=True, text=True, check=False
        )

    @property
    def packages(self) -> Path:
        """The folder of the submitter's packages."""
        return next(self.edge.glob("lib/python3*/site-packages/seedbed")).parent

    def executors(self) -> list[psutil.Process]:
        """The JVMs of the executors that run now."""
        return self._containers(EXECUTOR)

    def node_without_master(self) -> int:
        """The node where no application master of client mode runs."""
        [master] = self._containers(MASTER)
        return 1 if "-nm-0_0" in " ".join(master.cmdline()) else 0

    def finished_tasks(self) -> int:
        """Number of tasks that executors have finished, by the logs of their containers."""
        logs = self._logs("stderr")
        return sum(log.read_text(errors="replace").count("Finished task") for log in logs)

    def printed(self) -> str:
        """What drivers inside the cluster have printed."""
        return "".join(log.read_text(errors="replace") for log in self._logs("stdout"))

    def lose(self, node: int) -> None:
        """Take a node away: its node manager, its containers and its data node."""
        assert self._nodes.stdin is not None
        self._nodes.stdin.write(f"lose {node}\n")
        self._nodes.stdin.flush()
        self._answer("LOST")

    def stop(self) -> None:
        """End the nodes; containers that are left end with them."""
        for process in self.executors():
            process.kill()
        assert self._nodes.stdin is not None
        self._nodes.stdin.close()
        self._nodes.wait(60)

    def _containers(self, program: str) -> list[psutil.Process]:
        """The JVMs of this cluster that run `program`; each names the folder of its logs."""
        found = []
        for process in psutil.process_iter(["name", "cmdline"]):
            words = process.info["cmdline"] or []
            if process.info["name"] == "java" and program in words:
                found += [process] if str(self.folder) in " ".join(words) else []
        return found

    def _logs(self, name: str) -> list[Path]:
        return sorted(self.folder.glob(f"nodes/yarn/*/*/*-logDir-*/application_*/*/{name}"))

    def _answer(self, word: str, seconds: float = 600) -> str:
        assert self._nodes.stdout is not None
        deadline = time.monotonic() + seconds
        for line in self._nodes.stdout:
            if line.startswith(word):
                return line
            assert time.monotonic() < deadline, f"no {word} from the nodes"
        raise AssertionError(f"the nodes ended: {(self.folder / 'nodes.log').read_text()[-2000:]}")
