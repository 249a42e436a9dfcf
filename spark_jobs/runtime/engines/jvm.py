"""Spark in a JVM: `local[*]`, or the cluster that spark-submit brings.

Delta comes by the standard route. The settings make small tables fast and answers repeatable.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import warnings

from delta import configure_spark_with_delta_pip
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from conf.errors import SeedbedError
from conf.schema.curate import SparkSettings
from seedbed.stores.places import for_engine
from seedbed.stores.settings import spark_conf
from spark_jobs.runtime.engines.aliases import Aliases
from spark_jobs.runtime.engines.engine import require_spark_4, submitted
from spark_jobs.runtime.engines.jvm_start import starting

# The Delta artifact pulls in these jars although pyspark ships them already. On a cluster each of
# them would travel to every executor.
ALREADY_IN_SPARK = (
    "org.apache.hadoop:*,org.apache.logging.log4j:*,org.slf4j:*,org.apache.parquet:*,io.unitycatalog:*,"
    "com.fasterxml.jackson.core:*,org.xerial.snappy:*"
)

SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.jars.excludes": ALREADY_IN_SPARK,
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "512",
    # Bytes of whole files; a kernel may need 20 times as much.
    "spark.sql.execution.arrow.maxBytesPerBatch": "16777216",
    # Rows: the default of 4,096 whole files at once broke a heap of 1.5 GB.
    "spark.sql.parquet.columnarReaderBatchSize": "512",
    # Without it Spark writes one file per pair of tasks: that took 67 core seconds for 67 MB.
    "spark.shuffle.sort.bypassMergeThreshold": "8",
    "spark.sql.session.timeZone": "UTC",
    # The default of 50 makes every small table slow.
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
    "spark.ui.enabled": "false",
}


class Jvm:
    """A session of Spark in a JVM, spoken to by py4j."""

    name = "spark"
    python_in_threads = False

    def __init__(self, spark: SparkSession, log_file: str):
        self.spark = spark
        self._log_file = log_file
        self._aliases = Aliases()
        self._seen: dict[int, tuple[int, int]] = {}

    @property
    def parallelism(self) -> int:
        return self.spark.sparkContext.defaultParallelism

    def sorting_tasks(self, wanted: int) -> int:
        """As many: tasks wait for a core, and those that run share the memory."""
        return wanted

    def describe(self, step: str) -> None:
        """Name the Spark jobs that follow."""
        self._seen.clear()
        self.spark.sparkContext.setJobDescription(step)

    def tasks(self) -> tuple[int, int]:
        """(done, all) of the tasks of the stages that ran since the last `describe`."""
        tracker = self.spark.sparkContext.statusTracker()
        for stage in tracker.getActiveStageIds():
            info = tracker.getStageInfo(stage)
            if info is not None:
                self._seen[stage] = (info.numCompletedTasks, info.numTasks)
        stages = list(self._seen.values())
        return sum(done for done, _ in stages), sum(every for _, every in stages)

    def path(self, path: str) -> str:
        """A local path through a link, where it has an odd name.

        On a cluster the nodes share no temporary folder, so that a path stays as it is.
        """
        path = for_engine(path, self.name)
        local = self.spark.sparkContext.master.startswith("local") and "://" not in path
        return self._aliases.path(path) if local else path

    def ended(self) -> str:
        """Why the JVM is gone, in a few words; "" while it runs."""
        gateway = self.spark.sparkContext._gateway
        process = getattr(gateway, "proc", None)
        try:
            gateway.jvm.java.lang.System.currentTimeMillis()
        except (Py4JError, OSError):
            code = None if process is None else process.poll()
            return f"read {self._log_file}" if code is None else f"exit code {code}"
        return ""

    def stop(self) -> None:
        """End the session; its JVM ends with this process."""
        self.spark.stop()
        self._aliases.close()


def start(settings: SparkSettings, app: str, log_file: str) -> Jvm:
    """A new session.

    Under spark-submit the submitted master and configuration win over `settings`.

    log_file: takes what the JVM of a new session says, so that the terminal keeps the summary lines
        and the progress.

    Raises SeedbedError where no Java 17 or later is found, the JVM does not come up, or what was
    submitted lacks Spark 4 or Delta.
    """
    check_java()
    # A Connect session leaves these to all that its process starts later.
    for name in ("SPARK_CONNECT_MODE_ENABLED", "SPARK_REMOTE", "SPARK_LOCAL_REMOTE"):
        os.environ.pop(name, None)
    # On YARN Spark takes the jars of its packages for Python files, and warns for each.
    warnings.filterwarnings("ignore", message=r"Failed to add file \[.*\.jar\]")
    # py4j logs a traceback wherever the JVM is gone; the job tells it in one line.
    logging.getLogger().addFilter(lambda record: "/py4j/" not in record.pathname)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # Spark runs one Python worker per core already, so each worker gets one thread.
    for name in (
        "OMP_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "TOKENIZERS_PARALLELISM",
    ):
        os.environ.setdefault(name, "false" if name == "TOKENIZERS_PARALLELISM" else "1")
    builder = SparkSession.builder.appName(app)
    if not submitted():
        builder = builder.master(settings.master).config("spark.driver.memory", settings.memory)
        # A local session needs no name resolution and no interface but loopback.
        if settings.master.startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            builder = builder.config("spark.driver.host", "127.0.0.1")
    for key, value in {
        **SETTINGS,
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        **spark_conf(),
        **settings.extra,
    }.items():
        builder = builder.config(key, value)
    builder = configure_spark_with_delta_pip(builder)
    if submitted():
        spark = _quiet(builder.getOrCreate())
        require_spark_4(spark.version, "what spark-submit brings")
        _require_delta(spark)
        return Jvm(spark, log_file)
    with starting(log_file):
        return Jvm(_quiet(builder.getOrCreate()), log_file)


def _quiet(spark: SparkSession) -> SparkSession:
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def _require_delta(spark: SparkSession) -> None:
    """Raise SeedbedError where spark-submit has brought no Delta; its JVM takes no more jars."""
    name = SETTINGS["spark.sql.extensions"]
    if not spark.sparkContext._jvm.org.apache.spark.util.Utils.classIsLoadable(name):
        raise SeedbedError(
            f"what spark-submit brings has no Delta: {name} is not among its classes",
            "give spark-submit --properties-file conf/curate/spark.properties, "
            f"or --packages {delta_package()}",
        )


def delta_package() -> str:
    """The Maven coordinate of Delta, for the option --packages of spark-submit."""
    conf = configure_spark_with_delta_pip(SparkSession.builder)._options
    return str(conf["spark.jars.packages"])


def check_java() -> None:
    """Raise SeedbedError unless the `java` that Spark will use is version 17 or later."""
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    fix = (
        "run `make java`, or install a JRE 17 or later (Debian/Ubuntu: sudo apt-get install -y "
        "openjdk-17-jre-headless), or set JAVA_HOME; spark.engine=sail needs no Java"
    )
    if not java or not os.path.exists(java):
        where = f"JAVA_HOME={home}" if home else "no java on PATH"
        raise SeedbedError(f"no Java found ({where}); Spark 4 needs Java 17+", fix)
    try:
        run = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise SeedbedError(f"{java} cannot be run: {error.strerror}", fix) from error
    # Other lines may hold quotes too, such as that of JAVA_TOOL_OPTIONS. A version may end in -ea.
    found = re.search(r'version "((\d+)[^"]*)"', run.stderr)
    if found is None or int(found[2]) < 17:
        version = found[1] if found else "unknown"
        raise SeedbedError(f"{java} is Java {version}; Spark 4 needs Java 17+", fix)
