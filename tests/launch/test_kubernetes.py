"""The Kubernetes manifests hold against the schemas of what they describe, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from conf.loader import load
from conf.schema.curate import CurateConfig
from conf.schema.pretrain import PretrainConfig, check_world

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "launch/kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"
# Jobs of training stand above the folder of those that curate.
TRAINING = ("../pytorchjob.yaml", "../trainjob.yaml")


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((MANIFESTS / name).read_text()))


def pod_templates(value: object) -> list[dict]:
    """Every pod template within a document of Kubeflow, whose own schemas leave them out."""
    if isinstance(value, list):
        return [pod for item in value for pod in pod_templates(item)]
    if not isinstance(value, dict):
        return []
    if "containers" in value.get("spec", {}):
        return [value]
    return [pod for item in value.values() for pod in pod_templates(item)]


def check(document: dict) -> None:
    """Raise jsonschema's error for a field or a type that the schema of the kind does not have."""
    if document["kind"] == "SparkApplication":
        jsonschema.validate(document, json.loads((SCHEMAS / "spark_application.json").read_text()))
        return
    kinds = json.loads((SCHEMAS / "kubernetes.json").read_text())
    kubeflow = json.loads((SCHEMAS / "kubeflow.json").read_text())
    if document["kind"] in kubeflow:
        jsonschema.validate(document, kubeflow[document["kind"]])
        [pod] = [ref for ref in kinds["$defs"] if ref.endswith("PodTemplateSpec")]
        for template in pod_templates(document["spec"]):
            jsonschema.validate(template, {"$ref": f"#/$defs/{pod}", "$defs": kinds["$defs"]})
        return
    schema = {"$ref": f"#/$defs/{kinds['roots'][document['kind']]}", "$defs": kinds["$defs"]}
    jsonschema.validate(document, schema)


@pytest.mark.parametrize(
    "name", [*sorted(path.name for path in MANIFESTS.glob("*.yaml")), *TRAINING]
)
def test_a_manifest_is_what_its_schemas_allow(name):
    for document in documents(name):
        check(document)


def test_a_misspelt_field_is_refused():
    [application] = documents("spark_application.yaml")
    with pytest.raises(jsonschema.ValidationError, match="driverArg"):
        check(application | {"spec": application["spec"] | {"driverArg": []}})
    deployment = next(d for d in documents("sail.yaml") if d["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePull"] = "Always"
    with pytest.raises(jsonschema.ValidationError, match="imagePull"):
        check(deployment)
    [job] = documents("../pytorchjob.yaml")
    with pytest.raises(jsonschema.ValidationError, match="cleanPodsPolicy"):
        check(job | {"spec": job["spec"] | {"runPolicy": {"cleanPodsPolicy": "None"}}})
    runtime, train = documents("../trainjob.yaml")
    with pytest.raises(jsonschema.ValidationError, match="numNode"):
        check(train | {"spec": train["spec"] | {"trainer": {"numNode": 2}}})
    [pod] = pod_templates(runtime)
    pod["spec"]["terminationGracePeriod"] = 600
    with pytest.raises(jsonschema.ValidationError, match="terminationGracePeriod"):
        check(runtime)


@pytest.mark.parametrize("name", TRAINING)
def test_torchrun_lets_a_step_end_before_the_pod_is_killed(name):
    """SIGTERM saves at the end of a step. torchrun kills first, then Kubernetes."""
    for document in documents(name):
        for pod in pod_templates(document["spec"]):
            [container] = pod["spec"]["containers"]
            given = container["command"]
            waits = int(given[given.index("--shutdown-timeout") + 1])
            assert 300 <= waits < pod["spec"]["terminationGracePeriodSeconds"]


def test_the_train_job_asks_for_processes_that_its_config_can_use():
    runtime, job = documents("../trainjob.yaml")
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    trainer = job["spec"]["trainer"]
    [pod] = pod_templates(runtime)
    [container] = pod["spec"]["containers"]
    _, config, *overrides = trainer["args"]
    cfg = load(PretrainConfig, ROOT / config, overrides)
    processes = trainer["numNodes"] * trainer["numProcPerNode"]
    assert check_world(cfg.parallel, cfg.batch, processes) == 16
    assert container["resources"]["limits"]["nvidia.com/gpu"] == trainer["numProcPerNode"]


def test_the_spark_application_runs_a_config_that_loads():
    [application] = documents("spark_application.yaml")
    command, option, config, *overrides = application["spec"]["driverArgs"]
    assert (command, option) == ("run", "--config")
    within = config.partition("site-packages/")[2]
    assert load(CurateConfig, ROOT / within, overrides).spark.engine == "spark"
    program = application["spec"]["pyFiles"].partition("site-packages/")[2]
    assert (ROOT / program).is_file()


def test_the_spark_application_takes_delta_as_spark_submit_does():
    [application] = documents("spark_application.yaml")
    properties = dict(
        line.split(maxsplit=1)
        for line in (ROOT / "conf/curate/spark.properties").read_text().splitlines()
        if line.startswith("spark.")
    )
    conf = application["spec"]["sparkConf"]
    assert conf["spark.jars.packages"].startswith(properties.pop("spark.jars.packages"))
    del properties["spark.jars.excludes"]
    assert {key: conf[key] for key in properties} == properties


def test_the_service_leads_to_the_port_of_the_server():
    found = {
        document["kind"]: document["spec"]
        for document in documents("sail.yaml")
        if document["kind"] in ("Deployment", "Service")
    }
    pod = found["Deployment"]["template"]
    [server] = pod["spec"]["containers"]
    [port] = found["Service"]["ports"]
    assert found["Service"]["selector"] == pod["metadata"]["labels"]
    assert port["targetPort"] in {one["name"] for one in server["ports"]}
    assert server["args"][-1] == str(server["ports"][0]["containerPort"])
    images = {e["name"]: e.get("value") for e in server["env"]}
    assert images["SAIL_KUBERNETES__IMAGE"] == server["image"]
