"""docs/usage.md against the code."""

import re
from pathlib import Path

import fakeredis
from pydantic import SecretStr

from config.settings import Settings
from tasks.contract import AttemptRecord
from tests.ledger import usage_record
from workers.ledger import DIMENSIONS, RECORDS_KEY
from workers.ledger.export import BATCH as EXPORT_BATCH
from workers.ledger.reconcile import COLUMNS
from workers.ledger.sql.database import Database
from workers.ledger.sql.schema import METADATA, RECORDS
from workers.ledger.sql.sync import BATCH, sync
from workers.ledger.stream import RecordStream
from workers.ledger.sums import LABEL_FIELDS, LABEL_FIELDS_OF_PROJECT, SUMS_DAYS
from workers.providers.registry import report_readers

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    _, _, below = PAGE.partition(f"## {title}\n")
    return below.partition("\n## ")[0]


def named(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def test_the_page_tells_everything_that_usage_is_summed_by() -> None:
    assert {*DIMENSIONS, "label:NAME"} <= named(section("Sums"))


def test_the_page_tells_the_bounds_of_labels_and_how_long_things_are_kept() -> None:
    kept = section("How long things are kept")

    assert f"{LABEL_FIELDS_OF_PROJECT} combinations" in section("Labels")
    assert f"{LABEL_FIELDS:,} of all projects" in section("Labels")
    assert Settings.model_fields["usage_sums_ttl"].default == SUMS_DAYS
    assert f"| `BYOM_USAGE_SUMS_TTL`, days | {SUMS_DAYS} |" in kept
    assert f"| `BYOM_USAGE_RECORDS`, how many | {Settings.model_fields['usage_records'].default:,} |" in kept
    assert f"its last {EXPORT_BATCH:,} records" in section("Export")
    assert f"batches of {BATCH:,}" in section("A database")


def test_the_page_tells_every_table_and_the_columns_that_are_not_fields() -> None:
    text = section("A database")
    tables = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))

    assert tables == set(METADATA.tables)
    assert set(RECORDS.columns.keys()) - set(AttemptRecord.model_fields) <= named(text)


def test_the_query_shown_runs_on_both_databases(ledger_url: SecretStr) -> None:
    (query,) = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    client = fakeredis.FakeRedis()
    for call, cost in (("a", "0.5"), ("b", "0.25"), ("c", None)):
        record = usage_record(call, cost_usd=cost, labels={"team": "search"})
        client.xadd(RECORDS_KEY, {"record": record.model_dump_json(exclude_none=True)})

    with Database.open(ledger_url) as database:
        list(sync(RecordStream(client), database))
        with database.begin() as connection:
            (row,) = connection.exec_driver_sql(query).all()

    assert (row.team, float(row.usd), row.unknown) == ("search", 0.75, 1)


def test_the_page_tells_every_column_of_a_report_and_every_vendor() -> None:
    text = section("Reconcile")

    assert set(COLUMNS) <= named(text)
    assert set(re.findall(r"`--provider (\w+)`", text)) == set(report_readers())
