"""Dockerfile and .dockerignore, checked as far as that goes without a container engine."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from config.settings import Settings
from tests.unit.deployment.compose_file import REQUIRED, ROOT, compose

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SERVICES = compose(**REQUIRED)["services"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest), continuation lines joined."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE))
    return [(first, rest.strip()) for line in joined.splitlines() if line for first, _, rest in [line.partition(" ")]]


def all_of(instruction: str, steps: list[tuple[str, str]] | None = None) -> list[str]:
    return [rest for name, rest in (instructions() if steps is None else steps) if name == instruction]


def final_stage() -> list[tuple[str, str]]:
    steps = instructions()
    return steps[max(index for index, (name, _) in enumerate(steps) if name == "FROM") :]


def copied() -> list[str]:
    """What is copied out of the repository."""
    return [source for rest in all_of("COPY") if "--from=" not in rest for source in shlex.split(rest)[:-1]]


def reaches_the_build(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last line that matches it or a folder above it decides."""
    reaches = True
    candidates = [path, *(parent.as_posix() for parent in Path(path).parents if parent.as_posix() != ".")]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        patterns = {pattern, pattern.removeprefix("**/"), pattern.replace("**/", "*/")}
        if any(fnmatch(candidate, each) for candidate in candidates for each in patterns):
            reaches = line.startswith("!")
    return reaches


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_reaches_the_build_as_a_whole(source: str) -> None:
    path = ROOT / source

    assert path.exists()
    below = [path, *(each for each in path.rglob("*") if each.is_file() and "__pycache__" not in each.parts)]
    assert [each for each in below if not reaches_the_build(each.relative_to(ROOT).as_posix())] == []


def test_all_that_the_wheel_is_built_from_is_copied() -> None:
    assert set(copied()) == {"pyproject.toml", "README.md", "LICENSE", "config", "tasks", "workers"}


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".byom/store.json",
        "byom.toml",
        ".venv/bin/python",
        "tests/unit/deployment/test_image.py",
        "config/.env",
        "config/byom.toml",
        "workers/__pycache__/app.cpython-313.pyc",
        "workers/cli/__pycache__/root.cpython-313.pyc",
        "docker-compose.yml",
    ],
)
def test_secrets_history_and_tests_do_not_reach_the_build(path: str) -> None:
    assert not reaches_the_build(path)


def test_the_image_is_built_in_two_stages_from_one_pinned_slim_python() -> None:
    assert [stage.split()[0] for stage in all_of("FROM")] == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    [default] = [found for rest in all_of("ARG") if (found := rest.removeprefix("PYTHON_IMAGE=")) != rest]
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", default)


def test_the_image_has_the_extras_that_operators_turn_on_by_a_setting() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [extras] = [rest.partition("=")[2].strip('"').split() for rest in all_of("ARG") if rest.startswith("EXTRAS=")]
    [run] = [rest for rest in all_of("RUN") if "optional-dependencies" in rest]
    printed = subprocess.run(
        ["sh", "-c", run.partition(" > ")[0].replace("python", sys.executable, 1)],
        cwd=ROOT,
        env={"EXTRAS": " ".join(extras)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert set(extras) == {"sql", "otel", "parquet"}
    assert printed == told["dependencies"] + [one for extra in extras for one in told["optional-dependencies"][extra]]


def test_the_final_stage_holds_no_build_tools_and_no_sources() -> None:
    runs = " ".join(all_of("RUN", final_stage()))

    assert not re.search(r"\b(apt-get|apt|apk|pip|gcc|make|git|curl|wget)\b", runs)
    assert all_of("COPY", final_stage()) + all_of("ADD", final_stage()) == ["--from=build /opt/byom /opt/byom"]
    assert "python -m venv --without-pip /opt/byom" in all_of("RUN")


def test_the_image_runs_as_a_user_without_privileges_from_its_last_step_on() -> None:
    steps = [name for name, _ in final_stage()]

    [user] = all_of("USER", final_stage())
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert not {"RUN", "COPY", "ADD"} & set(steps[steps.index("USER") :])


def test_volumes_are_mounted_where_the_image_made_room_for_its_user() -> None:
    [run] = all_of("RUN", final_stage())
    mounted = {volume.split(":")[1] for name in ("worker", "flower") for volume in SERVICES[name]["volumes"]}

    assert mounted <= set(run.split())


def test_the_image_writes_no_bytecode_and_its_settings_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variables = dict(pair.split("=", 1) for rest in all_of("ENV", final_stage()) for pair in rest.split())
    ours = {name: value for name, value in variables.items() if name.startswith("BYOM_")}
    monkeypatch.chdir(tmp_path)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)

    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert Settings().store_url == ours["BYOM_STORE_URL"]
    assert {name.removeprefix("BYOM_").lower() for name in ours} <= Settings.model_fields.keys()
    assert ours["BYOM_HEALTH_FILE"] == SERVICES["worker"]["environment"]["BYOM_HEALTH_FILE"]
    assert ours["BYOM_STORE_URL"].partition(":")[2].startswith(SERVICES["worker"]["volumes"][0].split(":")[1])


def test_by_itself_the_image_is_a_worker_with_the_health_check_of_the_compose_file() -> None:
    [command] = all_of("CMD", final_stage())
    [check] = all_of("HEALTHCHECK", final_stage())

    assert json.loads(command) == SERVICES["worker"]["command"]
    assert check.partition(" CMD ")[2] == SERVICES["worker"]["healthcheck"]["test"]
    assert {json.loads(command)[0], check.partition(" CMD ")[2].split()[0]} <= {
        script.name for script in entry_points(group="console_scripts")
    }
