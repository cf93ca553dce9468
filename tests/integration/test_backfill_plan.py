"""What a plan says of a file, against what the file then cost."""

import gzip
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import TokenUsage
from tests.integration.support.pool import Pool, running_pool
from workers.backfill.entries import Defaults, Entry, parse_line
from workers.backfill.groups import grouped, joined
from workers.backfill.source import read_lines

pytestmark = pytest.mark.integration

PEOPLE = ("Ada", "Bruno", "Chiara", "Dmitri", "Esra", "Farid", "Grete", "Hana", "Ilse", "Jonas", "Karim", "Lena")
PLACES = ("Lisbon", "Porto", "Ghent", "Oslo", "Turin", "Graz", "Nantes", "Split", "Cork", "Brno", "Riga", "Gdynia")
WORKS = ("Kelp Foundry", "Orbit Labs", "Harbour Bank", "Vega Institute", "Tern Studio", "North College")
TALK = ("The weather was fine all week, and we took the long way home through the park.", "It is late now.")


def episode(number: int, rng: random.Random) -> dict[str, Any]:
    """A text of one sentence or of eight, with a fact in most of them."""
    sentences = []
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
        person = rng.choice(PEOPLE)
        facts = (f"{person} moved to {rng.choice(PLACES)} in May 2026.", f"{person} works at {rng.choice(WORKS)}.")
        sentences.append(rng.choice((*facts, *facts, *TALK)))
    return {"id": f"e{number}", "content": " ".join(sentences), "reference_time": "2026-05-04T10:00:00Z"}


def written(path: Path, *, count: int, seed: int) -> Path:
    """The same file each time."""
    rng = random.Random(seed)  # noqa: S311 - no secret is made of it
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(episode(number, rng)) + "\n" for number in range(count))
    return path


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("plan")) as pool:
        pool.extra["BYOM_CONCURRENCY"] = "32"
        # Each test has a project of its own, so that none learns from the calls of another.
        for project in ("known", "unknown"):
            pool.add_project(project, tpm_capacity=50_000_000, tpm_refill_per_second=1_000_000)
        pool.start_worker()
        yield pool


def run(pool: Pool, path: Path, project: str, *, pack_tokens: int | None = None) -> tuple[TokenUsage, Decimal]:
    """Run a file through the pool; what it took by the simulator's books, and what it cost."""
    defaults = Defaults(project=project, pack_tokens=pack_tokens)
    parsed = [parse_line(line, defaults) for line in read_lines(str(path))]
    entries = [entry for entry in parsed if isinstance(entry, Entry)]
    assert len(entries) == len(parsed)
    pool.simulator.reset()
    with pool.producer() as producer:
        handles = list(producer.enqueue_many(joined(group) for group in grouped(entries)))
        usages = [handle.result(timeout=60).usage for handle in handles]
    billed = pool.simulator.books().billed
    tokens = TokenUsage(input=billed.input, cached_input=billed.cached_input, output=billed.output)
    assert sum((usage.tokens for usage in usages), TokenUsage()) == tokens
    return tokens, sum((Decimal(usage.cost_usd or 0) for usage in usages), Decimal(0))


def planned(pool: Pool, path: Path, project: str, *options: str) -> list[dict[str, Any]]:
    """The ways of doing a file that a plan compares."""
    done = pool.byom("backfill", "plan", str(path), "--project", project, "--json", *options)
    assert done.returncode == 0, done.stderr
    ways: list[dict[str, Any]] = json.loads(done.stdout)["options"]
    return ways


def test_the_cost_of_a_plan_is_within_five_percent_of_what_it_then_is(pool: Pool, tmp_path: Path) -> None:
    run(pool, written(tmp_path / "earlier.jsonl.gz", count=100, seed=1), "known")
    path = written(tmp_path / "episodes.jsonl.gz", count=200, seed=2)

    alone, packed = planned(pool, path, "known", "--pack", "0,600")

    assert (alone["jobs"], alone["calls"]) == (200, 200)
    assert packed["calls"] < 30
    for plan, pack_tokens, close in ((alone, None, 0.01), (packed, 600, 0.06)):
        tokens, cost = run(pool, path, "known", pack_tokens=pack_tokens)
        # Only how the vendor counts had to be learned; of the instructions of packs it was not yet.
        assert plan["input_tokens"]["expected"] == pytest.approx(tokens.input + tokens.cached_input, rel=close)
        assert float(plan["cost_usd"]["expected"]) == pytest.approx(float(cost), rel=0.05)
        assert Decimal(plan["cost_usd"]["low"]) <= cost <= Decimal(plan["cost_usd"]["high"])
    # No call was made for the plan itself.
    assert alone["rests_on"] == "100 calls of this project"


def test_a_sample_of_the_file_tells_what_the_whole_takes(pool: Pool, tmp_path: Path) -> None:
    path = written(tmp_path / "episodes.jsonl.gz", count=200, seed=2)
    pool.simulator.reset()

    [plan] = planned(pool, path, "unknown", "--sample", "60")

    assert pool.simulator.books().served == 60
    assert plan["rests_on"] == "60 calls of this project"
    _, cost = run(pool, path, "unknown")
    assert float(plan["cost_usd"]["expected"]) == pytest.approx(float(cost), rel=0.05)
