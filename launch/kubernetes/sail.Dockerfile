# The image that sail.yaml names: Sail, and the project for the Python functions of the jobs.
#
#   make dist
#   docker build -f launch/kubernetes/sail.Dockerfile -t registry.example/seedbed-sail:0.1.0 .
FROM python:3.12-slim
COPY dist/requirements.txt dist/seedbed-0.1.0-py3-none-any.whl /tmp/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.txt \
    && pip install --no-cache-dir --no-deps /tmp/seedbed-0.1.0-py3-none-any.whl
ENTRYPOINT ["sail"]
