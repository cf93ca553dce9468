"""`byom models`: the catalogue of verified models, and below it `byom models check`."""

from typing import Annotated

import typer

from config.catalogue import ModelFacts, load_catalogue
from tasks.contract import ProviderKind
from workers.cli import models_check
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.examples import examples

EXAMPLES = examples("byom models", "byom models --provider openai", "byom models --json")

app = typer.Typer(invoke_without_command=True)
app.command(epilog=models_check.EXAMPLES)(models_check.check)


@app.callback(epilog=EXAMPLES)
def models(
    context: typer.Context,
    provider: Annotated[ProviderKind | None, typer.Option(help="Only this provider's models.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the models that are verified to work, and how their reasoning is turned off."""
    if context.invoked_subcommand is not None:
        return
    chosen = [facts for facts in load_catalogue() if provider in {None, facts.provider}]
    if as_json:
        print_json([facts.model_dump(mode="json", exclude_none=True) for facts in chosen])
        return
    if not chosen:
        err.print(
            f"The catalogue knows no model of {provider.value}; --unverified takes any." if provider else "Empty."
        )
        return
    columns = ("PROVIDER", "MODEL", "CONTEXT", "OUTPUT", "REASONING", "ENDS", "NOTE")
    out.print(table(columns, [_row(facts) for facts in chosen], right=("CONTEXT", "OUTPUT")))


def _row(facts: ModelFacts) -> list[str]:
    return [
        facts.provider.value,
        facts.id,
        f"{facts.context:,}",
        f"{facts.max_output:,}",
        facts.reasoning.value.replace("_", " "),
        facts.ends.isoformat() if facts.ends else "",
        "recommended" if facts.recommended else "",
    ]
