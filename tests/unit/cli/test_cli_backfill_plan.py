"""`byom backfill plan`: checks every line, shows the ways to do it, and touches nothing."""

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from config.connections import effective_chain, project_path, save_connection, save_project
from config.store import FileStore
from tasks.contract import TokenUsage
from tests.ledger import settle, usage_record
from tests.unit.cli.conftest import Byom
from workers.admission import Demand, Observation, RedisAdmission, Refusal
from workers.alerts import MemoryAlerts
from workers.backfill.entries import Defaults, Entry, parse_line
from workers.backfill.source import Line
from workers.embedded.valkey import EmbeddedValkey

EPISODE = {"id": "e1", "content": "Ana moved to Porto in May."}


@pytest.fixture
def plan(byom: Byom, valkey: EmbeddedValkey, store: FileStore) -> Callable[..., Any]:
    """Runs `byom backfill plan`; project `acme` has a primary and a local fallback."""
    save_project(store, "acme")
    scope = project_path("acme")
    primary = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "key"}
    save_connection(store, scope, {**primary, "rpm_capacity": 60})
    local = {"provider": "openai_compatible", "model": "local", "base_url": "http://127.0.0.1:1/v1"}
    save_connection(store, scope, {"name": "local", "role": "fallback", **local})
    return lambda *words, **options: byom("--broker-url", valkey.url, "backfill", "plan", *words, **options)


def write(home: Path, *lines: Any, name: str = "episodes.jsonl") -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (home / name).write_text("\n".join(texts) + "\n")
    return name


def episodes(count: int) -> list[dict[str, Any]]:
    return [{**EPISODE, "id": f"e{number}"} for number in range(count)]


def test_the_ways_to_do_it_are_shown_side_by_side(plan: Callable[..., Any], home: Path) -> None:
    result = plan(write(home, *episodes(200)), "-p", "acme", "--pack", "0,2000")

    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.split()[:4] == ["CONNECTION", "MODEL", "PACK", "TIER"]
    assert [row.split()[:2] for row in rows] == [["primary", "gpt-6-luna"]] * 2 + [["local", "local"]] * 2
    assert "requests per minute" in rows[0]
    assert "2,000" in rows[1]
    assert "unknown" in rows[2]
    assert "200 lines: 200 to do, with 200 episodes" in result.stderr
    assert "nothing is known of this connection yet" in result.stderr
    assert "a spend cap does not stop it" in result.stderr


def test_programs_get_the_same(plan: Callable[..., Any], home: Path) -> None:
    result = plan(write(home, *episodes(100)), "-p", "acme", "-c", "primary", "--pack", "0,2000", "--json")

    document = json.loads(result.stdout)
    counts = {"lines": 100, "bad": 0, "passed_over": 0, "selected": 100, "entries": 100, "episodes": 100}
    assert {name: document[name] for name in counts} == counts
    assert [(way["pack_tokens"], way["calls"], way["jobs"]) for way in document["options"]] == [
        (None, 100, 100),
        (2_000, 7, 7),
    ]
    way = document["options"][0]
    assert float(way["cost_usd"]["low"]) < float(way["cost_usd"]["expected"]) < float(way["cost_usd"]["high"])
    # 60 requests at once and one a second.
    assert (way["seconds"], way["limited_by"]) == (40, "requests per minute")


def test_nothing_is_enqueued_and_nothing_is_written(
    plan: Callable[..., Any], home: Path, valkey: EmbeddedValkey
) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        before = client.dbsize()
        plan(write(home, *episodes(3)), "-p", "acme")

        assert client.dbsize() == before
    assert sorted(path.name for path in home.iterdir()) == [".byom", "episodes.jsonl"]


def test_bad_lines_are_listed_and_written_without_what_they_say(plan: Callable[..., Any], home: Path) -> None:
    bad = [{"id": "e9", "content": "", "note": "secret"}, '{"secret']
    lines = [EPISODE, *bad, *({"secret": number} for number in range(40)), {**EPISODE, "id": "e2"}]

    result = plan(write(home, *lines), "-p", "acme", "--rejects", "bad.jsonl")

    assert result.exit_code == 1
    assert "line 2: content is empty" in result.stderr
    assert "line 3: not JSON" in result.stderr
    assert "and 22 more bad lines; all are in bad.jsonl" in result.stderr
    assert "44 lines, 42 are no jobs: 2 to do" in result.stderr
    rejects = [json.loads(line) for line in (home / "bad.jsonl").read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == list(range(2, 44))
    assert rejects[0]["problems"][1].startswith("note: Extra inputs")
    for shown in (result.output, (home / "bad.jsonl").read_text()):
        assert "secret" not in shown.replace("secret: ", "")


def test_bad_lines_are_in_the_document_too(plan: Callable[..., Any], home: Path) -> None:
    result = plan(write(home, EPISODE, "{}"), "-p", "acme", "--json")

    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["bad"], [line["line"] for line in document["bad_lines"]]) == (1, [2])


def test_a_file_without_a_good_line_has_no_table(plan: Callable[..., Any], home: Path) -> None:
    result = plan(write(home, "{}"), "-p", "acme")

    assert (result.exit_code, result.stdout) == (1, "")
    assert plan(write(home), "-p", "acme").exit_code == 0


def test_stdin_may_be_compressed(plan: Callable[..., Any]) -> None:
    data = gzip.compress(json.dumps(EPISODE).encode())

    assert json.loads(plan("-", "-p", "acme", "--json", stdin=data).stdout)["entries"] == 1


def test_what_the_connection_did_is_what_it_will_do(
    plan: Callable[..., Any], home: Path, valkey: EmbeddedValkey
) -> None:
    def record(number: int) -> Any:
        return usage_record(
            f"r{number}",
            account=None,
            tier=None,
            usage=TokenUsage(input=1_000, output=400),
            estimated_input=1_290,
            estimated_text=10,
            started_at=datetime.now(UTC),
        )

    async def call() -> None:
        async with redis.asyncio.Redis.from_url(valkey.url) as client:
            await settle(client, [record(number) for number in range(50)])

    asyncio.run(call())

    way = json.loads(plan(write(home, *episodes(10)), "-p", "acme", "-c", "primary", "--json").stdout)["options"][0]

    assert way["rests_on"] == "50 calls of this project"
    assert way["output_tokens"]["expected"] == pytest.approx(4_000, rel=0.05)
    assert way["input_tokens"]["expected"] == pytest.approx(10_000, rel=0.05)


def test_the_averages_of_the_meter_are_what_there_is_where_records_are_gone(
    plan: Callable[..., Any], home: Path, valkey: EmbeddedValkey, store: FileStore
) -> None:
    [link, _] = effective_chain(store, "acme")

    async def answer() -> None:
        async with redis.asyncio.Redis.from_url(valkey.url) as client:
            admission = RedisAdmission(client, alerts=MemoryAlerts(), lease_seconds=60)
            for _ in range(10):
                lease = await admission.admit(link, Demand(input_tokens=1_000, max_output_tokens=500))
                assert not isinstance(lease, Refusal)
                await lease.settle(Observation(usage=TokenUsage(input=500, output=70)))

    asyncio.run(answer())

    way = json.loads(plan(write(home, *episodes(10)), "-p", "acme", "-c", "primary", "--json").stdout)["options"][0]

    assert way["rests_on"] == "the averages of 10 answers, whatever they were about"
    assert way["output_tokens"]["expected"] == 700


def test_what_waits_already_goes_first(
    byom: Byom, plan: Callable[..., Any], home: Path, valkey: EmbeddedValkey
) -> None:
    file = write(home, *episodes(100))
    before = json.loads(plan(file, "-p", "acme", "-c", "primary", "--json").stdout)["options"][0]

    # Nobody works here: they wait.
    assert byom("--broker-url", valkey.url, "enqueue", file, "-p", "acme").exit_code == 0

    after = json.loads(plan(file, "-p", "acme", "-c", "primary", "--json").stdout)["options"][0]
    # 100 requests more at one a second, or their tokens.
    assert before["seconds"] == 40
    assert after["seconds"] >= 140


def test_a_sample_that_nobody_extracts_is_no_sample(
    plan: Callable[..., Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.cli.backfill_plan.extract", lambda *_, **__: iter([False] * 10))

    result = plan(write(home, *episodes(30)), "-p", "acme", "--sample", "10")

    assert result.exit_code == 1
    assert "0 of 10 lines of the sample could be extracted" in result.stderr


def test_a_spend_cap_and_what_becomes_of_jobs_beyond_it_are_told(
    plan: Callable[..., Any], home: Path, store: FileStore
) -> None:
    primary = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "key"}
    capped = {**primary, "spend_cap_day_usd": "0.01", "on_spend_cap": "fail"}
    save_connection(store, project_path("acme"), capped)

    result = plan(write(home, *episodes(1_000)), "-p", "acme", "-c", "primary")

    assert "the connection's spend cap per day" in result.stdout
    assert "jobs beyond a spend cap fail" in result.stderr


def test_what_has_a_result_is_left_out_unless_it_meets_the_conditions(plan: Callable[..., Any], home: Path) -> None:
    def done(number: int, version: str) -> dict[str, Any]:
        text = json.dumps(episodes(number + 1)[number]).encode()
        entry = parse_line(Line(number=1, text=text), Defaults(project="acme"))
        assert isinstance(entry, Entry)
        result = {"provenance": [{"prompt_version": version, "model": "gpt-6-luna"}]}
        return {"line": 1, "id": entry.id, "status": "succeeded", "result": result}

    write(home, done(0, "1"), done(1, "2"), name="results.jsonl")
    file = write(home, *episodes(3))

    left = json.loads(plan(file, "-p", "acme", "--results", "results.jsonl", "--json").stdout)
    old = json.loads(
        plan(file, "-p", "acme", "--results", "results.jsonl", "--where", "prompt_version<2", "--json").stdout
    )

    assert (left["selected"], left["passed_over"], left["entries"]) == (1, 2, 1)
    assert (old["selected"], old["passed_over"]) == (2, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent.jsonl"], "cannot read absent.jsonl: No such file"),
        (["episodes.jsonl", "--where", "prompt_version<2"], "say where they are: --results FILE"),
        (["episodes.jsonl", "--results", "episodes.jsonl"], "line 1 of episodes.jsonl is no result"),
        (["episodes.jsonl", "--results", "episodes.jsonl", "--where", "x<2"], "'x' is no field of a result"),
        (["episodes.jsonl", "-c", "nobody"], "has no connection 'nobody'; it has primary, local"),
        (["episodes.jsonl", "--pack", "0,many"], "write numbers of tokens up to 4,000"),
        (["episodes.jsonl", "--pack", "4001"], "write numbers of tokens up to 4,000"),
        (["episodes.jsonl", "--rejects", "no/such/folder"], "cannot write no/such/folder"),
        (["episodes.jsonl", "-p", "nobody"], "project 'nobody' is not configured"),
    ],
)
def test_what_cannot_be_done_is_said_and_ends_with_2(
    plan: Callable[..., Any], home: Path, words: list[str], said: str
) -> None:
    write(home, EPISODE)

    result = plan("-p", "acme", *words)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_without_a_broker_it_ends_with_3(byom: Byom, plan: Callable[..., Any], home: Path) -> None:
    assert byom("backfill", "plan", write(home, EPISODE), "-p", "acme").exit_code == 3
