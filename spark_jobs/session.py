"""The Spark session: Delta wired in by the standard route, with what makes small tables fast and answers repeatable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

from conf.errors import SeedbedError
from conf.schema.curate import SparkSettings

# Jars that the Delta artifact pulls in although pyspark already ships them: on a cluster each would travel to every executor.
ALREADY_IN_SPARK = (
    "org.apache.hadoop:*,org.apache.logging.log4j:*,org.slf4j:*,org.apache.parquet:*,io.unitycatalog:*,"
    "com.fasterxml.jackson.core:*,org.xerial.snappy:*"
)

SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.jars.excludes": ALREADY_IN_SPARK,
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "512",  # whole source files in a batch: bounds a worker's memory
    "spark.sql.session.timeZone": "UTC",
    "spark.databricks.delta.snapshotPartitions": "2",  # the default of 50 makes every small table slow
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
    "spark.ui.enabled": "false",
}


def start(settings: SparkSettings, app: str) -> SparkSession:
    """The running session, or a new one. Under spark-submit the submitted master and conf win over `settings`.

    Raises SeedbedError where no Java 17 or later is found.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    check_java()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # One thread a Python worker: Spark already runs one worker a core.
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
        os.environ.setdefault(name, "false" if name == "TOKENIZERS_PARALLELISM" else "1")
    builder = SparkSession.builder.appName(app)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # set by spark-submit, which has parsed --master already
    if not submitted:
        builder = (
            builder.master(settings.master)
            .config("spark.driver.memory", settings.driver_memory)
            .config("spark.driver.host", "127.0.0.1" if settings.master.startswith("local") else _own_host())
        )
    for key, value in {
        **SETTINGS,
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        **settings.extra,
    }.items():
        builder = builder.config(key, value)
    spark = configure_spark_with_delta_pip(builder).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def delta_package() -> str:
    """The Maven coordinate that `configure_spark_with_delta_pip` resolves, for spark-submit --packages and docs."""
    conf = configure_spark_with_delta_pip(SparkSession.builder)._options
    return str(conf["spark.jars.packages"])


def check_java() -> None:
    """Raise SeedbedError unless the `java` that Spark will use is version 17 or later."""
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    fix = "install a JRE 17 or later (Debian/Ubuntu: sudo apt-get install -y openjdk-17-jre-headless), or set JAVA_HOME"
    if not java or not os.path.exists(java):
        raise SeedbedError(f"no Java found ({'JAVA_HOME=' + home if home else 'no java on PATH'}); Spark 4 needs Java 17+", fix)
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = text.split('"')[1] if '"' in text else ""
    major = version.split(".")[0]
    if not major.isdigit() or int(major) < 17:
        raise SeedbedError(f"{java} is Java {version or 'unknown'}; Spark 4 needs Java 17+", fix)


def _own_host() -> str:
    import socket

    return socket.gethostname()
