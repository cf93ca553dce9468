"""docs/settings.md against config/settings.py, and what the other pages say of settings."""

import json
import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from workers.notify.folding import TABLE
from workers.reference.comments import meanings

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("` "): [cell.strip() for cell in cells[1:]]
    for line in PAGE.splitlines()
    if line.startswith("| `BYOM_")
    for cells in [re.split(r"(?<!\\)\|", line.strip("|"))]
}


def test_every_setting_has_a_row_with_a_meaning_of_its_own() -> None:
    told = meanings(Settings)

    assert set(told) == set(Settings.model_fields), "give each setting a comment that begins with '#:'"
    assert len(set(told.values())) == len(told)
    assert set(ROWS) == {f"BYOM_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_default_that_the_page_gives_is_the_default_when_it_is_set(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for other in [key for key in os.environ if key.startswith("BYOM_")]:
        monkeypatch.delenv(other)
    _, default, _ = ROWS[f"BYOM_{name.upper()}"]

    if default == "none":
        assert getattr(Settings(), name) in {None, ""}
    else:
        monkeypatch.setenv(f"BYOM_{name.upper()}", default.strip("`"))
        assert getattr(Settings(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("broker_url", "text, kept secret"),
        ("store_key", "text, kept secret"),
        ("actor", "text"),
        ("concurrency", "whole number, 1 to 10,000"),
        ("connect_timeout", "number, above 0"),
        ("flex_timeout", "number, above 0, at most 3,000"),
        ("patience", "number, at least 0"),
        ("metrics_port", "whole number, 1 to 65,535"),
        ("rate_limits", "object of text"),
        ("webhook_backoff", "list of number, 0 to 86,400"),
        ("allow_private_endpoints", "`true` or `false`"),
        ("log_format", "`text` or `json`"),
    ],
)
def test_the_page_says_what_a_setting_takes(name: str, takes: str) -> None:
    assert ROWS[f"BYOM_{name.upper()}"][0] == takes


def test_every_setting_that_holds_a_secret_is_told_to_be_one() -> None:
    secret = {name for name, (takes, _, _) in ROWS.items() if "secret" in takes}

    assert secret == {
        f"BYOM_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if SecretStr.__name__ in str(field.annotation)
    }


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_a_setting_that_a_page_names_exists(page: Path) -> None:
    # What folded events call their causes looks like a setting.
    others = {"BYOM_NAME", *(row.code for row in TABLE.values() if row is not None)}

    assert set(re.findall(r"\bBYOM_[A-Z_]+\b", page.read_text(encoding="utf-8"))) - others <= ROWS.keys()


def test_defaults_are_written_as_the_environment_takes_them() -> None:
    assert json.loads(ROWS["BYOM_WEBHOOK_BACKOFF"][1].strip("`")) == [30, 120, 600, 1_800]
    assert ROWS["BYOM_ALLOW_PRIVATE_ENDPOINTS"][1] == "`false`"
