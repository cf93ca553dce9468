"""The contract as pipelines install it: a wheel of its own, in an environment that knows nothing of this repository."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONTRACT = ROOT / "tasks" / "contract"

#: What a pipeline does with the contract, run beside a `tasks.py` and a `config.py` of its own.
PIPELINE = """
import json, pickle, sys
import config, tasks
import byom_contract
from byom_contract import ExtractionResult, JobRefused, json_schema, parse_job

assert (tasks.MINE, config.MINE) == (True, True)
episode = {"id": "e1", "content": "Ada moved.", "reference_time": "2026-05-04"}
job = parse_job({"project": "acme", "episodes": [episode]})
assert parse_job(json.loads(job.model_dump_json(exclude_unset=True))) == job
try:
    parse_job({})
except JobRefused as refused:
    twin = pickle.loads(pickle.dumps(refused))
    assert (type(twin), twin.args) == (JobRefused, refused.args)
assert json_schema("extraction-job.v1") == json.loads(sys.stdin.read())
result = ExtractionResult(job_id="1", project="acme", status="succeeded")
assert ExtractionResult.model_validate_json(result.model_dump_json()) == result
print(json.dumps({"from": byom_contract.__file__, "modules": sorted(sys.modules)}))
"""


def build(source: Path, target: Path) -> Path:
    """Build a wheel with the backend that is installed: nothing is fetched."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=60)
    [wheel] = target.glob("*.whl")
    return wheel


def contents(wheel: Path) -> set[str]:
    """The files of a wheel, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def sources(*folders: Path) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def contract_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(CONTRACT, tmp_path_factory.mktemp("contract"))


def test_the_contract_wheel_holds_all_modules_of_the_contract_and_nothing_else(contract_wheel: Path) -> None:
    modules = {path.name for path in CONTRACT.iterdir() if path.is_file()} - {"pyproject.toml"}

    assert contents(contract_wheel) == {f"byom_contract/{name}" for name in modules}


def test_the_contract_wheel_needs_pydantic_only(contract_wheel: Path) -> None:
    with zipfile.ZipFile(contract_wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode()

    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert [line.split()[1].partition(">")[0] for line in required] == ["pydantic"]


def test_a_pipeline_with_its_own_tasks_and_config_uses_the_wheel(contract_wheel: Path, tmp_path: Path) -> None:
    installed, foreign = tmp_path / "installed", tmp_path / "pipeline"
    with zipfile.ZipFile(contract_wheel) as archive:
        archive.extractall(installed)
    foreign.mkdir()
    for name in ("tasks.py", "config.py"):
        (foreign / name).write_text("MINE = True\n", encoding="utf-8")
    schema = ROOT / "tests" / "fixtures" / "schemas" / "extraction-job.v1.json"

    # Without `site` (-S) no .pth file is read, so that this repository, installed editable, cannot be imported.
    ended = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", PIPELINE],
        cwd=foreign,
        env={"PYTHONPATH": os.pathsep.join([str(foreign), str(installed), sysconfig.get_path("purelib")])},
        input=schema.read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert Path(report["from"]).is_relative_to(installed)
    assert not {"celery", "redis", "httpx", "workers", "tasks.contract"} & set(report["modules"])


def test_the_application_wheel_holds_all_code_and_data_but_not_the_contracts_build_file(tmp_path: Path) -> None:
    packed = contents(build(ROOT, tmp_path))

    expected = sources(ROOT / "config", ROOT / "tasks", ROOT / "workers") - {"tasks/contract/pyproject.toml"}
    assert packed == expected
    assert {"config/catalogue.toml", "workers/jobs/claim.lua", "tasks/contract/job.py"} <= packed
