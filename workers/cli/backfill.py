"""`byom backfill`: many episodes from a file."""

import typer

from workers.cli import backfill_plan

app = typer.Typer(help="Extract from files of many episodes, beside live traffic.", no_args_is_help=True)
app.command("plan", epilog=backfill_plan.EXAMPLES)(backfill_plan.plan)
