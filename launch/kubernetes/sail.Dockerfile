# The image that sail.yaml names: Sail with the Python of `make dist`, for server and workers.
#
#   make dist
#   docker build -f launch/kubernetes/sail.Dockerfile -t registry.example/seedbed-sail:0.1.0 .
FROM python:3.12-slim
ADD dist/environment.tar.gz /opt/environment
# Sail's Python functions run in the Python that starts it.
RUN python -m pip install --no-cache-dir --target /opt/sail --no-deps pysail==0.7.2 pyspark-client==4.2.0 \
    grpcio grpcio-status googleapis-common-protos protobuf zstandard
ENV PYTHONPATH=/opt/sail
ENTRYPOINT ["/opt/environment/bin/python", "-m", "pysail"]
