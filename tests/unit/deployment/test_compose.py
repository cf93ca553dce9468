"""docker-compose.yml and .env.example, checked as far as that goes without a container engine."""

import json
import re
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from packaging.version import Version

from config.settings import Settings
from tests.unit.deployment.compose_file import REQUIRED, ROLES, ROOT, TEXT, USERS, VARIABLE, compose

COMPOSE = compose(**REQUIRED)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")

EVERY_SERVICE = pytest.mark.parametrize("name", SERVICES)
OUR_SERVICES = pytest.mark.parametrize("name", ["worker", "flower"])


def specification() -> Validator:
    """The schema that the compose specification publishes, as check-jsonschema brings it along."""
    text = (files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    return validator_for(schema)(schema)


def seconds(duration: str) -> int:
    found = re.fullmatch(r"(\d+)(s|m)", duration)
    assert found is not None, duration
    return int(found[1]) * {"s": 1, "m": 60}[found[2]]


@pytest.mark.parametrize("document", [COMPOSE, yaml.safe_load(TEXT)], ids=["filled in", "as written"])
def test_the_compose_file_fits_the_compose_specification(document: dict[str, Any]) -> None:
    assert [error.message for error in specification().iter_errors(document)] == []


@pytest.mark.parametrize(
    "broken",
    [{"healthchek": {}}, {"ports": "6379"}, {"depends_on": {"valkey": {"condition": "well"}}}, {"read_only": []}],
    ids=str,
)
def test_the_specification_sees_mistakes(broken: dict[str, Any]) -> None:
    document = COMPOSE | {"services": SERVICES | {"worker": SERVICES["worker"] | broken}}

    assert not specification().is_valid(document)


@pytest.mark.parametrize("name", REQUIRED)
def test_nothing_starts_without_passwords(name: str) -> None:
    given = {key: value for key, value in REQUIRED.items() if key != name}

    with pytest.raises(LookupError, match=f"set {name}.* in .env"):
        compose(**given)


def test_compose_and_the_example_speak_of_the_same_variables() -> None:
    documented = re.findall(r"^([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE)

    assert len(documented) == len(set(documented))
    assert set(documented) == {match[1] for match in VARIABLE.finditer(TEXT)}


def test_the_example_repeats_the_defaults_and_holds_no_password() -> None:
    written = dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE, flags=re.MULTILINE))
    defaults = {match[1]: match[3] for match in VARIABLE.finditer(TEXT) if match[2] == "-"}

    assert written == defaults | dict.fromkeys(REQUIRED, "")


def test_the_example_explains_every_variable() -> None:
    paragraphs = EXAMPLE.split("\n\n")

    assert [part for part in paragraphs if re.search(r"^[A-Z_]+=", part, re.MULTILINE) and part[0] != "#"] == []


def test_the_defaults_told_in_the_example_are_those_of_the_settings() -> None:
    told: dict[str, str] = {}
    for comment, variables in re.findall(r"((?:^#.*\n)+)((?:^BYOM_.*\n)+)", EXAMPLE, flags=re.MULTILINE):
        names = re.findall(r"^(BYOM_[A-Z_]+)=$", variables, flags=re.MULTILINE)
        told |= dict(zip(names, re.findall(r"\((\d+)\)", comment), strict=False))

    assert {"BYOM_CONCURRENCY", "BYOM_IDEMPOTENCY_TTL", "BYOM_SHUTDOWN_TIMEOUT"} <= told.keys()
    fields = Settings.model_fields
    assert told == {name: str(fields[name.removeprefix("BYOM_").lower()].default) for name in told}


@EVERY_SERVICE
def test_every_variable_of_ours_in_a_service_is_a_setting(name: str) -> None:
    ours = {key for key in SERVICES[name].get("environment", {}) if key.startswith("BYOM_")}

    assert {key.removeprefix("BYOM_").lower() for key in ours} <= Settings.model_fields.keys()


@OUR_SERVICES
def test_the_settings_take_what_a_service_is_given(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"BYOM_CONCURRENCY": "7", "BYOM_RATE_LIMITS": '{"openai": "600/m"}', "BYOM_LOG_LEVEL": "DEBUG"}
    monkeypatch.chdir(tmp_path)
    for key, value in compose(**REQUIRED, **given)["services"][name]["environment"].items():
        monkeypatch.setenv(key, value)

    settings = Settings()

    assert settings.redis_url == f"redis://{name}:s3cret{name}@valkey:6379/0"
    assert settings.log_level == "DEBUG"
    if name == "worker":
        assert (settings.concurrency, settings.rate_limits) == (7, {"openai": "600/m"})


@EVERY_SERVICE
def test_every_image_is_pinned(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")

    assert image
    assert tag not in {"", "latest", "alpine", "slim"}


def test_the_broker_is_of_the_version_that_the_tests_run_on(valkey_client: redis.Redis) -> None:
    pinned = Version(SERVICES["valkey"]["image"].partition(":")[2].partition("-")[0])
    tested = Version(str(valkey_client.info("server")["valkey_version"]))

    assert (pinned.major, pinned.minor) == (tested.major, tested.minor)


@EVERY_SERVICE
def test_every_service_is_checked_confined_and_restarted(name: str) -> None:
    service = SERVICES[name]

    assert service["healthcheck"].keys() >= {"test", "interval", "timeout", "retries", "start_period"}
    assert seconds(service["healthcheck"]["timeout"]) <= seconds(service["healthcheck"]["interval"])
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]  # noqa: S108 - inside the container
    assert service["restart"] == "unless-stopped"
    assert "privileged" not in service
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}


@EVERY_SERVICE
def test_a_service_is_published_on_this_machine_only(name: str) -> None:
    assert [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")] == []
    assert "network_mode" not in SERVICES[name]


@EVERY_SERVICE
def test_what_must_last_is_in_a_named_volume(name: str) -> None:
    mounted = [volume.partition(":")[0] for volume in SERVICES[name]["volumes"] if not volume.endswith(":ro")]

    assert mounted
    assert set(mounted) <= COMPOSE["volumes"].keys()


def test_workers_can_be_scaled() -> None:
    assert not {"container_name", "hostname", "ports"} & SERVICES["worker"].keys()


@OUR_SERVICES
def test_nothing_of_ours_starts_before_the_broker_is_well_or_with_any_capability(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {"valkey": {"condition": "service_healthy"}}
    assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_the_broker_keeps_what_it_accepted() -> None:
    [shell, flags, script, name, *rest] = SERVICES["valkey"]["command"]
    options = dict(zip(rest[::2], rest[1::2], strict=True))

    assert (shell, flags, name) == ("sh", "-euc", "valkey-server")
    assert "docker-entrypoint.sh" in script, "it takes root away from the server"
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert SERVICES["valkey"]["volumes"][0] == "broker:/data"


def test_each_role_has_a_password_of_its_own_which_is_on_no_command_line() -> None:
    roles = re.findall(r">([A-Z]+)_PASSWORD", (ROOT / USERS).read_text(encoding="utf-8"))

    assert sorted(roles) == sorted(ROLES)
    assert f"./{USERS}:/etc/valkey/users.acl:ro" in SERVICES["valkey"]["volumes"]
    assert f"for role in {' '.join(roles)}; do" in SERVICES["valkey"]["command"][2]
    assert "s3cret" not in json.dumps([service["command"] for service in SERVICES.values()])
    for name in ("worker", "flower"):
        url = SERVICES[name]["environment"]["BYOM_BROKER_URL"]
        assert url == f"redis://{name}:s3cret{name}@valkey:6379/0"


def test_a_worker_is_given_every_setting_that_an_operator_may_need() -> None:
    given = {key.removeprefix("BYOM_").lower() for key in SERVICES["worker"]["environment"] if key.startswith("BYOM_")}

    assert {
        "broker_url", "store_url", "store_key", "dead_letter_key", "signed_jobs", "ledger_url", "otlp_endpoint",
        "concurrency", "max_calls", "rate_limits", "shutdown_timeout", "visibility_timeout", "metrics_port",
    } <= given  # fmt: skip


def test_the_store_is_in_its_volume_unless_another_is_named() -> None:
    url = SERVICES["worker"]["environment"]["BYOM_STORE_URL"]
    [volume] = SERVICES["worker"]["volumes"]

    assert url == f"file:{volume.partition(':')[2]}/store.json"
    other = compose(**REQUIRED, BYOM_STORE_URL="ssm://eu-central-1")["services"]["worker"]["environment"]
    assert other["BYOM_STORE_URL"] == "ssm://eu-central-1"


def test_a_stopping_worker_has_longer_than_its_drain() -> None:
    drain = Settings.model_fields["shutdown_timeout"].default

    assert seconds(SERVICES["worker"]["stop_grace_period"]) > drain


def test_the_health_check_reads_what_the_worker_writes_where_it_may_write() -> None:
    file = SERVICES["worker"]["environment"]["BYOM_HEALTH_FILE"]

    assert SERVICES["worker"]["healthcheck"]["test"] == "byom health"
    assert file.startswith(SERVICES["worker"]["tmpfs"][0].partition(":")[0] + "/")


@OUR_SERVICES
def test_every_command_is_one_that_the_image_has(name: str) -> None:
    assert SERVICES[name]["command"][0] in {script.name for script in entry_points(group="console_scripts")}


def test_flowers_password_is_on_no_command_line() -> None:
    assert SERVICES["flower"]["environment"]["FLOWER_BASIC_AUTH"] == "ada:s3cret"
    assert "s3cret" not in json.dumps([SERVICES["flower"]["command"], SERVICES["flower"]["healthcheck"]])
    assert "FLOWER_UNAUTHENTICATED_API" not in TEXT


def test_flower_has_no_access_to_connections_and_credentials() -> None:
    assert "store" not in {volume.partition(":")[0] for volume in SERVICES["flower"]["volumes"]}
    assert SERVICES["flower"]["environment"]["BYOM_STORE_URL"] == "memory:"


def test_what_is_filled_in_is_not_committed() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
