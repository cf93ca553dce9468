"""Every command of docs/providers.md does what the page says, as far as that goes without a vendor."""

import re
import shlex
from pathlib import Path

import pytest

from config.connections import effective_chain
from config.store import FileStore
from tasks.contract import ProviderKind
from tests.unit.cli.conftest import Byom
from workers.embedded.simulator.wire.google_accounts import simulated_key_file

PAGE = (Path(__file__).parents[3] / "docs" / "providers.md").read_text(encoding="utf-8")
COMMANDS = [command.replace("\\\n", " ").strip() for command in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)]


def provider_of(command: str) -> str:
    words = shlex.split(command)
    return words[words.index("--provider") + 1]


def test_the_page_has_one_command_and_one_row_per_kind_of_provider() -> None:
    assert sorted(map(provider_of, COMMANDS)) == sorted(kind.value for kind in ProviderKind)
    assert all(f"| `{kind.value}` |" in PAGE for kind in ProviderKind)


@pytest.mark.parametrize("command", COMMANDS, ids=provider_of)
def test_a_command_of_the_page_saves_a_connection_that_can_be_resolved(
    command: str, byom: Byom, home: Path, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-from-the-environment")
    (home / "service-account.json").write_text(simulated_key_file("byom@acme.iam.gserviceaccount.com"))
    (home / "role-arn.txt").write_text("arn:aws:iam::123456789012:role/byom\n")

    result = byom(*shlex.split(command)[1:], "--no-verify")

    assert result.exit_code == 0, result.output
    (link,) = effective_chain(store, "acme")
    assert link.connection.provider == provider_of(command)
