# The image that spark_application.yaml names: Spark's own, with the Python of `make dist`.
#
#   make dist
#   docker build -f launch/kubernetes/spark.Dockerfile -t registry.example/seedbed-spark:0.1.0 .
FROM apache/spark:4.2.0-python3
# ADD unpacks the archive.
ADD dist/environment.tar.gz /opt/environment
ENV PYSPARK_PYTHON=/opt/environment/bin/python \
    PYSPARK_DRIVER_PYTHON=/opt/environment/bin/python
