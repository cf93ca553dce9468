"""Exports: nothing twice and nothing lost, wherever a run ends."""

import csv
import io
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis

from tasks.contract import AttemptRecord
from tests.ledger import NOW, usage_record
from workers.ledger.errors import ExportError, UnreadableRecord
from workers.ledger.export import COLUMNS, Exported, Format, Selection, as_csv_line, as_json_line, export
from workers.ledger.files import PIPE, Output
from workers.ledger.stream import RECORDS_KEY, RecordStream


@pytest.fixture
def client() -> redis.Redis:
    return fakeredis.FakeRedis()


def publish(client: redis.Redis, *records: AttemptRecord) -> None:
    """Put records into the stream at the time at which their calls were over."""

    def over(record: AttemptRecord) -> int:
        return int(record.started_at.timestamp() * 1000) + record.latency_ms

    for record in sorted(records, key=over):
        text = record.model_dump_json(exclude_none=True)
        client.xadd(RECORDS_KEY, {"record": text}, id=f"{over(record)}-*")


def records(*calls: str) -> list[AttemptRecord]:
    return [usage_record(call) for call in calls]


def run(
    client: redis.Redis,
    out: Path | str,
    *,
    state: Path | None = None,
    form: Format = Format.JSONL,
    selection: Selection | None = None,
    pipe: io.StringIO | None = None,
) -> list[Exported]:
    selection = selection or Selection()
    render: Callable[[AttemptRecord], str] = as_json_line if form is Format.JSONL else as_csv_line
    with Output(str(out), pipe=pipe or io.StringIO(), state=state, written_as=form, selection=selection) as output:
        return list(export(RecordStream(client), output, render, selection, output.cursor))


def ids(out: Path) -> list[str]:
    return [json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()]


def test_json_lines_are_the_records_as_the_contract_has_them(client: redis.Redis, tmp_path: Path) -> None:
    record = usage_record("a", labels={"team": "Suche ü"}, cost_usd=None, price=None)
    publish(client, record)
    run(client, tmp_path / "out.jsonl")

    (line,) = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert AttemptRecord.model_validate_json(line) == record
    assert "cost_usd" not in json.loads(line)


def test_csv_has_every_field_of_a_record_and_says_unknown_for_a_price_that_is_not_known(
    client: redis.Redis, tmp_path: Path
) -> None:
    publish(client, usage_record("a", labels={"team": 'a "quoted", one'}), usage_record("b", cost_usd=None, price=None))
    run(client, tmp_path / "out.csv", form=Format.CSV)

    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        known, unknown = csv.DictReader(file)
    assert (known["cost_usd"], json.loads(known["labels"])) == ("0.000252", {"team": 'a "quoted", one'})
    assert json.loads(known["price"]) == usage_record("a").price
    assert (unknown["cost_usd"], unknown["price"]) == ("", "unknown")
    assert (known["input_tokens"], known["queue_wait_ms"], known["priority"]) == ("1000", "50", "live")
    fields = {name for name in AttemptRecord.model_fields if name != "usage"}
    assert fields | {f"{kind}_tokens" for kind in usage_record("a").usage.model_dump()} == set(COLUMNS)


def test_with_a_state_only_what_is_new_is_written(client: redis.Redis, tmp_path: Path) -> None:
    out, state = tmp_path / "out.csv", tmp_path / "state"
    publish(client, *records("a", "b"))
    run(client, out, state=state, form=Format.CSV)
    publish(client, *records("c"))
    steps = run(client, out, state=state, form=Format.CSV)
    run(client, out, state=state, form=Format.CSV)

    assert [line.split(",")[0] for line in out.read_text(encoding="utf-8").splitlines()] == ["id", "a", "b", "c"]
    assert sum(step.written for step in steps) == 1


class Killed(BaseException):
    """Ends the process wherever it is."""


@pytest.mark.parametrize("where", ["before the state", "after the state", "in the middle of a line", "at once"])
def test_a_run_that_was_killed_is_gone_on_with_and_no_line_is_there_twice(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr("workers.ledger.export.BATCH", 10)
    calls = [f"c{number:02}" for number in range(35)]
    publish(client, *records(*calls))
    out, state = tmp_path / "out.jsonl", tmp_path / "state"
    keep, kept = Output.keep, iter(range(1 if where == "at once" else 3))

    def killed(output: Output, cursor: Any) -> None:
        if next(kept, None) is not None:
            keep(output, cursor)
            return
        if where == "after the state":
            keep(output, cursor)
        if where == "in the middle of a line":
            output.write('{"id": "c2')
        output._file.flush()
        raise Killed

    monkeypatch.setattr(Output, "keep", killed)
    with suppress(Killed):
        run(client, out, state=state)
    monkeypatch.setattr(Output, "keep", keep)
    assert out.read_text(encoding="utf-8").count("\n") < len(calls)
    run(client, out, state=state)

    assert ids(out) == calls


def test_a_file_that_was_rotated_away_is_begun_anew(client: redis.Redis, tmp_path: Path) -> None:
    out, state = tmp_path / "out.csv", tmp_path / "state"
    publish(client, *records("a"))
    run(client, out, state=state, form=Format.CSV)
    out.rename(tmp_path / "out.1.csv")
    publish(client, *records("b"))
    run(client, out, state=state, form=Format.CSV)

    assert [line.split(",")[0] for line in out.read_text(encoding="utf-8").splitlines()] == ["id", "b"]


def test_a_pipe_gets_its_headers_once_and_goes_on_too(client: redis.Redis, tmp_path: Path) -> None:
    pipe = io.StringIO()
    publish(client, *records("a"))
    run(client, PIPE, state=tmp_path / "state", form=Format.CSV, pipe=pipe)
    publish(client, *records("b"))
    run(client, PIPE, state=tmp_path / "state", form=Format.CSV, pipe=pipe)

    assert [line.split(",")[0] for line in pipe.getvalue().splitlines()] == ["id", "a", "b"]


def test_without_a_state_a_file_that_is_there_is_left_alone(client: redis.Redis, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine\n", encoding="utf-8")

    with pytest.raises(ExportError, match="is there already"):
        run(client, out)
    with pytest.raises(ExportError, match="is there already"):
        run(client, out, state=tmp_path / "state")
    assert out.read_text(encoding="utf-8") == "mine\n"


def test_a_state_belongs_to_one_export(client: redis.Redis, tmp_path: Path) -> None:
    state = tmp_path / "state"
    run(client, tmp_path / "out.jsonl", state=state)

    with pytest.raises(ExportError, match=r"with out .*a state file of its own"):
        run(client, tmp_path / "other.jsonl", state=state)
    with pytest.raises(ExportError, match="with format jsonl, and this one has csv"):
        run(client, tmp_path / "out.jsonl", state=state, form=Format.CSV)
    with pytest.raises(ExportError, match="with project none, and this one has acme"):
        run(client, tmp_path / "out.jsonl", state=state, selection=Selection(project="acme"))


def test_what_is_no_state_is_refused(client: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("[]", encoding="utf-8")

    with pytest.raises(ExportError, match="not a state file"):
        run(client, tmp_path / "out.jsonl", state=tmp_path / "state")


def test_a_file_that_cannot_be_written_is_told(client: redis.Redis, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot write to .*: No such file or directory"):
        run(client, tmp_path / "nowhere" / "out.jsonl")


def test_records_are_chosen_by_when_the_attempt_began_and_by_project(client: redis.Redis, tmp_path: Path) -> None:
    publish(
        client,
        usage_record("far", started_at=NOW - timedelta(hours=9)),
        usage_record("before", started_at=NOW - timedelta(milliseconds=1), latency_ms=900_000),
        usage_record("first", started_at=NOW, latency_ms=1_000_000),
        usage_record("globex", started_at=NOW, latency_ms=1_100_000, project="globex"),
        usage_record("slow", started_at=NOW + timedelta(minutes=59, seconds=59), latency_ms=3_000_000),
        usage_record("after", started_at=NOW + timedelta(hours=1), latency_ms=300_000),
    )
    chosen = Selection(since=NOW, until=NOW + timedelta(hours=1), project="acme")
    run(client, tmp_path / "out.jsonl", selection=chosen)

    assert ids(tmp_path / "out.jsonl") == ["first", "slow"]


def test_an_export_that_ends_in_the_past_goes_on_there(client: redis.Redis, tmp_path: Path) -> None:
    publish(client, usage_record("a"), usage_record("b", started_at=NOW + timedelta(hours=9)))
    out, state = tmp_path / "out.jsonl", tmp_path / "state"
    steps = run(client, out, state=state, selection=Selection(until=NOW + timedelta(hours=1)))
    assert (ids(out), steps[-1].complete) == (["a"], True)

    run(client, out, state=state)
    assert ids(out) == ["a", "b"]


def test_a_gap_is_told(valkey_client: redis.Redis, tmp_path: Path) -> None:
    out, state = tmp_path / "out.jsonl", tmp_path / "state"
    publish(valkey_client, *records("a"))
    run(valkey_client, out, state=state)
    publish(valkey_client, *records("b", "c"))
    valkey_client.xtrim(RECORDS_KEY, maxlen=1, approximate=False)

    steps = run(valkey_client, out, state=state)

    assert [step.gap.missing for step in steps if step.gap] == [1]
    assert ids(out) == ["a", "c"]


def test_an_entry_that_is_no_record_stops_loudly(client: redis.Redis, tmp_path: Path) -> None:
    client.xadd(RECORDS_KEY, {"record": '{"id": "CANARY"}'})

    with pytest.raises(UnreadableRecord, match="is not a usage record") as caught:
        run(client, tmp_path / "out.jsonl")
    assert "CANARY" not in str(caught.value)
