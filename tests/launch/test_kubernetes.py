"""The Kubernetes manifests hold against the schemas of what they describe, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from conf.loader import load
from conf.schema.curate import CurateConfig

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "launch/kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((MANIFESTS / name).read_text()))


def check(document: dict) -> None:
    """Raise jsonschema's error for a field or a type that the schema of the kind does not have."""
    if document["kind"] == "SparkApplication":
        jsonschema.validate(document, json.loads((SCHEMAS / "spark_application.json").read_text()))
        return
    kinds = json.loads((SCHEMAS / "kubernetes.json").read_text())
    schema = {"$ref": f"#/$defs/{kinds['roots'][document['kind']]}", "$defs": kinds["$defs"]}
    jsonschema.validate(document, schema)


@pytest.mark.parametrize("name", sorted(path.name for path in MANIFESTS.glob("*.yaml")))
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
