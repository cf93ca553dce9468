"""`byom backfill`: many episodes from a file, that may be stopped and repeated without fear."""

import typer

from workers.cli import backfill_control, backfill_plan, backfill_run

app = typer.Typer(help="Extract from files of many episodes, beside live traffic.", no_args_is_help=True)
app.command("plan", epilog=backfill_plan.EXAMPLES)(backfill_plan.plan)
app.command("run", epilog=backfill_run.RUN_EXAMPLES)(backfill_run.run)
app.command("list", epilog=backfill_control.LIST_EXAMPLES)(backfill_control.list_)
app.command("status", epilog=backfill_control.STATUS_EXAMPLES)(backfill_control.status)
app.command("pause", epilog=backfill_control.PAUSE_EXAMPLES)(backfill_control.pause)
app.command("resume", epilog=backfill_run.RESUME_EXAMPLES)(backfill_run.resume)
app.command("cancel", epilog=backfill_run.CANCEL_EXAMPLES)(backfill_run.cancel)
app.command("report", epilog=backfill_control.REPORT_EXAMPLES)(backfill_control.report)
