"""The top-level names are generic on purpose; these tests guard what that costs."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("config", "tasks", "workers")


def imported_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after a statement."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, timeout=60)
    return set(json.loads(ended.stdout))


@pytest.mark.parametrize("name", NAMES)
def test_no_other_distribution_owns_our_names(name: str) -> None:
    owners = set(importlib.metadata.packages_distributions().get(name, []))

    assert owners - {"byom-workers"} == set(), f"uninstall what else brings a package called '{name}'"


def test_the_contract_is_not_installed_a_second_time_beside_the_workers() -> None:
    installed = importlib.metadata.packages_distributions()

    assert "byom_contract" not in installed, "two classes for one payload: uninstall byom-contract here"


def test_the_tasks_package_is_empty_so_that_the_contract_drags_nothing_in() -> None:
    lines = (ROOT / "tasks" / "__init__.py").read_text(encoding="utf-8")

    assert compile(lines, "tasks/__init__.py", "exec").co_names == ("__doc__",)


def test_importing_the_contract_imports_no_celery_redis_or_http() -> None:
    modules = imported_by("import tasks.contract")

    assert "tasks.contract.job" in modules
    assert not {"celery", "kombu", "redis", "httpx", "aiohttp", "boto3", "structlog", "config", "workers"} & modules


def test_importing_the_configuration_imports_no_worker_and_no_celery() -> None:
    modules = imported_by("import config.connections, config.credentials, config.settings, config.store")

    assert not {"celery", "kombu", "redis", "workers"} & modules


def test_a_worker_imports_no_flower_and_no_command_line_of_ours() -> None:
    modules = imported_by(
        "import workers.celery_worker, tasks.extract, workers.runtime; workers.celery_worker.workers.app.app"
    )

    assert "celery.bin.worker" in modules
    assert not {"flower", "celery.bin.celery", "typer", "workers.cli"} & modules


def test_opening_a_store_in_ssm_imports_boto3_only_when_it_is_used() -> None:
    unused = imported_by('from config.store import open_store; open_store("memory:"); open_store("ssm://eu-central-1")')

    assert "config.store.ssm" in unused
    assert "boto3" not in unused
    assert "botocore" not in imported_by("import config.store, config.kms, config.connections")
