"""`byom schema`: the JSON Schemas of the contract and of the configuration file, for those who import nothing."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from config.declaration import SCHEMA_NAME, declaration_schema
from tasks.contract import SCHEMAS, json_schema
from workers.cli.console import JsonFlag, err, out, print_json
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples

EXAMPLES = examples(
    "byom schema",
    "byom schema extraction-job.v1 > job.schema.json",
    "byom schema --dir schemas",
)

#: Names of all published schemas.
PUBLISHED = (*SCHEMAS, SCHEMA_NAME)


def published_schema(name: str) -> dict[str, Any]:
    """One published schema, as JSON Schema 2020-12.

    Raises:
        KeyError: no schema has this name.
    """
    return declaration_schema() if name == SCHEMA_NAME else json_schema(name)


def schema(
    name: Annotated[str | None, typer.Argument(help="Which schema to print; without it, their names.")] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Write every schema into this directory instead.", file_okay=False)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print or write the JSON Schemas of jobs, results, failures and the configuration file."""
    if directory is not None:
        written = _write_all(directory)
        if as_json:
            print_json({"written": written})
        else:
            err.print(f"Wrote {len(written)} schemas to {directory}.")
    elif name is not None:
        if name not in PUBLISHED:
            raise CommandError(
                f"no schema is called '{name}'; there are: {', '.join(PUBLISHED)}",
                code=ExitCode.USAGE,
                details={"schemas": list(PUBLISHED)},
            )
        print_json(published_schema(name), indent=2)
    elif as_json:
        print_json({"schemas": list(PUBLISHED)})
    else:
        for known in PUBLISHED:
            out.print(known)


def _write_all(directory: Path) -> list[str]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        paths = {name: directory / f"{name}.json" for name in PUBLISHED}
        for name, path in paths.items():
            text = json.dumps(published_schema(name), indent=2, sort_keys=True, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write to {directory}: {error.strerror}", code=ExitCode.USAGE) from error
    return [str(path) for path in paths.values()]
