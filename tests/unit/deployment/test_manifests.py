"""The Kubernetes manifests in docs/deployment, held to the types of the API and to what is said elsewhere."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import yaml
from lightkube.models.meta_v1 import ObjectMeta

from config.settings import Settings
from tests.unit.deployment.compose_file import ROOT
from workers.health.serving import ASKED

DIRECTORY = ROOT / "docs" / "deployment" / "kubernetes"
DOCUMENTS: dict[str, dict[str, Any]] = {
    f"{document['kind']} {document['metadata']['name']}": document
    for file in sorted(DIRECTORY.glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    if document["kind"] != "Kustomization"
}
KUSTOMIZATION = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text(encoding="utf-8"))
#: KEDA's own kind, which no library of types has.
KEDA = "ScaledObject byom-worker"
DEPLOYMENTS = pytest.mark.parametrize("name", ["byom-worker", "byom-flower"])


def model_of(document: dict[str, Any]) -> type:
    """The class of a kind in a version of the API, such as `networking.k8s.io/v1`."""
    group, _, version = document["apiVersion"].rpartition("/")
    module = importlib.import_module(f"lightkube.models.{group.partition('.')[0] or 'core'}_{version}")
    found: type = getattr(module, document["kind"])
    return found


def problem(document: dict[str, Any], type_: type) -> str | None:
    """What of a document does not fit a type: wrong types, missing fields, and fields that it does not know."""
    try:
        known = msgspec.to_builtins(msgspec.convert(document, type_))
    except msgspec.ValidationError as error:
        return str(error)
    return next((f"Object contains unknown field {place}" for place in unknown(document, known, "$")), None)


def unknown(value: Any, known: Any, place: str) -> Iterator[str]:
    """Places in a value that are lost when it is read as what is known."""
    if isinstance(value, dict):
        for key, item in value.items():
            if known.get(key) is None:
                yield f"{place}.{key}"
            else:
                yield from unknown(item, known[key], f"{place}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown(item, known[index], f"{place}[{index}]")


def container(name: str) -> dict[str, Any]:
    (found,) = DOCUMENTS[f"Deployment {name}"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", DOCUMENTS.keys() - {KEDA})
def test_a_manifest_fits_the_api(name: str) -> None:
    assert problem(DOCUMENTS[name], model_of(DOCUMENTS[name])) is None


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"replcas": 2}, "Object contains unknown field $.spec.replcas"),
        ({"replicas": "2"}, "Expected `int | null`, got `str` - at `$.spec.replicas`"),
        ({"selector": None}, "Expected `object`, got `null` - at `$.spec.selector`"),
    ],
    ids=str,
)
def test_mistakes_are_seen(broken: dict[str, Any], expected: str) -> None:
    document = DOCUMENTS["Deployment byom-worker"]

    assert problem(document | {"spec": document["spec"] | broken}, model_of(document)) == expected


def test_the_scaler_is_what_keda_takes() -> None:
    scaler = DOCUMENTS[KEDA]
    (trigger,) = scaler["spec"]["triggers"]

    assert problem(scaler["metadata"], ObjectMeta) is None
    assert scaler["apiVersion"] == "keda.sh/v1alpha1"
    assert scaler["spec"].keys() == {
        "scaleTargetRef",
        "minReplicaCount",
        "maxReplicaCount",
        "cooldownPeriod",
        "triggers",
    }
    assert (trigger["type"], trigger["metadata"].keys()) == ("prometheus", {"serverAddress", "query", "threshold"})
    assert scaler["spec"]["scaleTargetRef"] == {"name": "byom-worker"}


def test_workers_are_scaled_by_a_metric_that_there_is() -> None:
    (metric,) = set(re.findall(r"byom_\w+", DOCUMENTS[KEDA]["spec"]["triggers"][0]["metadata"]["query"]))

    assert f"| `{metric}` | gauge |" in (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert "replicas" not in DOCUMENTS["Deployment byom-worker"]["spec"]


def test_every_manifest_is_in_the_kustomization() -> None:
    assert sorted([*KUSTOMIZATION["resources"], "kustomization.yaml"]) == sorted(
        file.name for file in DIRECTORY.iterdir()
    )


def test_the_variables_are_settings_and_the_settings_take_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    given = DOCUMENTS["ConfigMap byom"]["data"]
    for name in ("byom-worker", "byom-flower"):
        named = {variable["name"] for variable in container(name)["env"]} | given.keys()
        assert {variable.removeprefix("BYOM_").lower() for variable in named} <= Settings.model_fields.keys()
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)

    assert Settings().metrics_port == container("byom-worker")["ports"][0]["containerPort"]


def test_a_worker_is_killed_only_after_it_has_handed_its_jobs_back() -> None:
    spec = DOCUMENTS["Deployment byom-worker"]["spec"]["template"]["spec"]

    assert spec["terminationGracePeriodSeconds"] > int(DOCUMENTS["ConfigMap byom"]["data"]["BYOM_SHUTDOWN_TIMEOUT"])


@DEPLOYMENTS
def test_containers_run_as_the_images_user_without_any_right(name: str) -> None:
    pod = DOCUMENTS[f"Deployment {name}"]["spec"]["template"]["spec"]

    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
    assert pod["automountServiceAccountToken"] is False
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_worker_is_asked_where_it_serves_its_health() -> None:
    probes = {name: container("byom-worker")[f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness")}

    assert probes == {
        "liveness": {"path": "/healthz", "port": "metrics"},
        "readiness": {"path": "/readyz", "port": "metrics"},
    }
    assert {probe["path"] for probe in probes.values()} == ASKED.keys()
    (port,) = container("byom-worker")["ports"]
    assert port["name"] == "metrics"


def test_no_password_stands_in_a_manifest() -> None:
    secret = [
        variable
        for name in ("byom-worker", "byom-flower")
        for variable in container(name)["env"]
        if re.search(r"URL|AUTH|KEY", variable["name"]) and variable.get("value") != "memory:"
    ]

    assert all("secretKeyRef" in variable["valueFrom"] for variable in secret)
    assert len(secret) == 3
