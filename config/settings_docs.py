"""Prints all settings with their meaning as `docs/settings.md`: `python -m config.settings_docs`."""

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.settings import Settings

PATH = Path(__file__).parent.parent / "docs" / "settings.md"

_HEAD = """\
# Settings

Generated from the code by `python -m config.settings_docs`; a test keeps the two equal. Do not edit by hand.

What one process runs with: a worker, Flower, or a call of `byom`. Each stands in the environment under the name given
here, or in `byom.toml` in the current directory without `BYOM_` and in lower case. Flags of the
[command line](cli.md#configuration) beat the environment, which beats the file, which beats the default. A value that
does not fit, or a name that is nearly one of these, is refused with the mend before anything starts.

What is configured for accounts, projects and connections is another matter: see [configuration](configuration.md).

| setting | takes | default | what for |
|---|---|---|---|
"""
_FIELD = re.compile(r" {4}(\w+): ")
_MEANING = "    #: "
_TYPES = {"boolean": "`true` or `false`", "object": "JSON object"}
_NUMBERS = {"integer": "whole number", "number": "number"}


def render() -> str:
    """The whole document."""
    schemas = Settings.model_json_schema()["properties"]
    told = dict(meanings(inspect.getsource(Settings)))
    return _HEAD + "".join(
        f"| `BYOM_{name.upper()}` | {_takes(schemas[name])} | {_default(field.default)} | {_cell(told[name])} |\n"
        for name, field in Settings.model_fields.items()
    )


def meanings(source: str) -> Iterator[tuple[str, str]]:
    """Field → what the comment above it says; a field without a comment of its own is left out."""
    said: list[str] = []
    for line in source.splitlines():
        if line.startswith(_MEANING):
            said.append(line.removeprefix(_MEANING).strip())
            continue
        if said and (field := _FIELD.match(line)):
            yield field[1], " ".join(said)
        said = []


def _takes(schema: Mapping[str, Any]) -> str:
    """What a value may be: its type and bounds."""
    # One that may be absent is a choice between its type and null.
    schema = next((choice for choice in schema.get("anyOf", []) if choice["type"] != "null"), schema)
    kind = schema["type"]
    if choices := schema.get("enum"):
        return " or ".join(f"`{choice}`" for choice in choices)
    if kind == "string":
        return "text, kept secret" if schema.get("format") == "password" else "text"
    if kind == "array":
        return f"JSON array of: {_takes(schema['items'])}"
    if kind in _NUMBERS:
        return ", ".join([_NUMBERS[kind], *_bounds(schema)])
    return _TYPES[kind]


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    if "minimum" in schema and "maximum" in schema:
        yield f"{schema['minimum']:,} to {schema['maximum']:,}"
        return
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    yield from (f"{word} {schema[bound]:,}" for bound, word in words.items() if bound in schema)


def _default(value: object) -> str:
    # A secret of the code's own is none.
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    if plain is None or plain == "":
        return "none"
    return f"`{plain if isinstance(plain, str) else json.dumps(plain)}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote {PATH}\n")
