"""What makes a backfill cheaper, on real workers: prompts that several lines share, and the vendor's batches."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.support.pool import Pool, running_pool

pytestmark = pytest.mark.integration

_LINES = 12


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("savings")) as made:
        made.extra.update(BYOM_LOG_LEVEL="INFO", BYOM_ECONOMY_GATHER="0.5", BYOM_ECONOMY_LOOK="0.2")
        made.max_wait = 30
        made.add_project(
            "claude", provider="anthropic", model="claude-haiku-5-5", base_url=made.simulator.base_urls["anthropic"]
        )
        made.simulator.set_batch_seconds(1)
        made.start_worker()
        yield made


def run(pool: Pool, folder: Path, *options: str) -> list[dict[str, Any]]:
    """The lines of the sink."""
    source, sink = folder / "in.jsonl", folder / "out.jsonl"
    lines = [{"id": f"e{number}", "content": f"Ada moved to Lisbon on day {number}."} for number in range(_LINES)]
    source.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    done = pool.byom("backfill", "run", str(source), "--project", "claude", "--out", str(sink), *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in sink.read_text(encoding="utf-8").splitlines()]


def attempts(pool: Pool, name: str) -> dict[str, int]:
    """Attempts of a backfill by tier."""
    done = pool.byom("usage", "--by", "tier,label:backfill", "--json")
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout) if row["label:backfill"] == name]
    return {row["tier"]: row["attempts"] for row in rows}


def test_lines_share_prompts_and_each_has_its_own_result(pool: Pool, tmp_path: Path) -> None:
    found = run(pool, tmp_path, "--name", "packed", "--pack", "1000", "--ordered")

    assert [(line["line"], line["status"]) for line in found] == [(n, "succeeded") for n in range(1, _LINES + 1)]
    for line in found:
        (episode,) = line["result"]["episodes"]
        assert episode["episode_id"] == f"e{line['line'] - 1}"
    assert sum(attempts(pool, "packed").values()) == 1


def test_lines_go_by_batch_where_they_can_wait(pool: Pool, tmp_path: Path) -> None:
    found = run(pool, tmp_path, "--name", "batched", "--economy", "--ordered")

    assert [(line["line"], line["status"]) for line in found] == [(n, "succeeded") for n in range(1, _LINES + 1)]
    assert attempts(pool, "batched") == {"batch": _LINES}
