"""`byom schema` and `byom models`: what ships with the package."""

import json
from pathlib import Path

import pytest

from config.catalogue import load_catalogue
from tasks.contract import SCHEMAS, ProviderKind, json_schema
from tests.unit.cli.conftest import Byom
from workers.cli.schema import PUBLISHED, published_schema


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_schema_is_printed_as_it_is_published(byom: Byom, name: str) -> None:
    assert json.loads(byom("schema", name).stdout) == published_schema(name)


def test_the_schemas_of_the_contract_and_that_of_the_configuration_file_are_published() -> None:
    assert {name: json_schema(name) for name in SCHEMAS} == {name: published_schema(name) for name in SCHEMAS}
    assert set(PUBLISHED) - set(SCHEMAS) == {"byom-config.v1"}


def test_without_a_name_the_schemas_are_listed(byom: Byom) -> None:
    assert byom("schema").stdout.split() == list(PUBLISHED)
    assert json.loads(byom("schema", "--json").stdout) == {"schemas": list(PUBLISHED)}


def test_an_unknown_schema_is_a_usage_error_that_names_the_known_ones(byom: Byom) -> None:
    result = byom("schema", "extraction-job")

    assert result.exit_code == 2
    assert "extraction-job.v1" in result.stderr


def test_all_schemas_are_written_into_a_directory(byom: Byom, home: Path) -> None:
    result = byom("schema", "--dir", "out/schemas", "--json")

    written = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (home / "out/schemas").iterdir()}
    assert written == {name: published_schema(name) for name in PUBLISHED}
    assert len(json.loads(result.stdout)["written"]) == len(PUBLISHED)


def test_a_directory_that_cannot_be_made_is_a_usage_error(byom: Byom, home: Path) -> None:
    (home / "file").touch()

    assert byom("schema", "--dir", "file/below").exit_code == 2


def test_models_are_listed_with_their_provider(byom: Byom) -> None:
    lines = byom("models").stdout.splitlines()

    assert len(lines) == 1 + len(list(load_catalogue()))
    assert lines[0].split()[:2] == ["PROVIDER", "MODEL"]


def test_models_can_be_chosen_by_provider(byom: Byom) -> None:
    documents = json.loads(byom("models", "--provider", "openai", "--json").stdout)

    expected = [facts.id for facts in load_catalogue() if facts.provider is ProviderKind.OPENAI]
    assert [document["id"] for document in documents] == expected
    assert {document["provider"] for document in documents} == {"openai"}


def test_a_provider_without_verified_models_says_so(byom: Byom) -> None:
    result = byom("models", "--provider", "openai_compatible")

    assert result.exit_code == 0
    assert result.stdout == ""
    assert "openai_compatible" in result.stderr
