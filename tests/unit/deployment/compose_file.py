"""docker-compose.yml as compose itself would read it."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
#: ${NAME}, ${NAME:-default} and ${NAME:?message}, but not an escaped $$.
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")
USERS = "docs/deployment/redis/users.acl"
ROLES = ("ADMIN", "WORKER", "PRODUCER", "PIPELINE", "FLOWER", "OPERATOR")
#: A password of its own for each role of the broker, and Flower's login.
REQUIRED = {f"VALKEY_{role}_PASSWORD": f"s3cret{role.lower()}" for role in ROLES} | {"FLOWER_BASIC_AUTH": "ada:s3cret"}


def compose(**given: str) -> dict[str, Any]:
    """The file with its variables filled in: parsed first, then filled in value by value, as compose does.

    Raises:
        LookupError: a required variable is missing.
    """

    def value(match: re.Match[str]) -> str:
        name, operator, text = match.groups()
        if given.get(name):
            return given[name]
        if operator == "?":
            raise LookupError(text)
        return text or ""

    def fill_in(node: Any) -> Any:
        if isinstance(node, str):
            return VARIABLE.sub(value, node).replace("$$", "$")
        if isinstance(node, list):
            return [fill_in(item) for item in node]
        if isinstance(node, dict):
            return {key: fill_in(item) for key, item in node.items()}
        return node

    document: dict[str, Any] = fill_in(yaml.safe_load(TEXT))
    return document
