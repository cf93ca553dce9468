"""The configuration as one file, and how a test changes it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from config.store import FileStore

OPENAI = ("--no-verify", "--provider", "openai", "--model", "gpt-6-luna", "--key-env", "MY_KEY")
GEMINI = ("--no-verify", "--provider", "gemini", "--model", "gemini-2.5-flash-lite", "--key-env", "MY_KEY")


def fill(byom: Callable[..., Any]) -> None:
    """An account and two projects, and an export of them."""
    byom("connection", "add", "--account", "corp", *OPENAI, "--tpm", "200000", "--label", "team=core")
    byom("connection", "add", "--account", "corp", *GEMINI, "--role", "fallback", "--spend-cap-day", "5")
    byom("project", "set", "-p", "acme", "--account", "corp", "--weight", "3", "--max-waiting", "10000")
    byom("connection", "set", "-p", "acme", "--name", "primary", "--set", "tpm_capacity=30000")
    byom("connection", "add", "-p", "solo", *GEMINI)
    byom("config", "export", "--output", "byom.yaml")


def edit(path: Path, **changes: Any) -> None:
    """Set values of the file by their dotted paths; None removes."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *way, last = dotted.split("__")
        node = document
        for part in way:
            node = node.setdefault(part, {})
        node.pop(last, None)
        if value is not None:
            node[last] = value
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def everything(store: FileStore) -> list[tuple[str, int]]:
    return [(parameter.path, parameter.version) for parameter in store.list("/byom")]
