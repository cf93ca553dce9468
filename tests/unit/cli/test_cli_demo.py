"""The parts of the demo: where answers come from, which jobs are sent, what is reported."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.catalogue import load_catalogue
from config.connections import effective_chain
from config.credentials import read_credential
from config.store import MemoryStore
from tasks.contract import EpisodeResult, ExtractionResult, Fact, FailureCode, JobStatus, ProviderKind, Role, TokenUsage
from tests.unit.cli.conftest import Byom
from workers.cli import demo_scenes as scenes
from workers.cli.demo import sample_jobs
from workers.cli.demo_report import Report, print_report
from workers.cli.errors import CommandError
from workers.cli.outcomes import Outcome
from workers.embedded.simulator import RemoteSimulator, fingerprint
from workers.ledger import UsageRow

KEY = "sk-canary-live"


@pytest.fixture
def simulated() -> Iterator[scenes.Scene]:
    with scenes.on_simulator() as scene:
        yield scene


PROJECTS = ("acme", "globex", "initech")


def test_every_kind_of_provider_is_a_primary_and_each_connection_has_its_own_key(
    simulated: scenes.Scene,
) -> None:
    store = MemoryStore()
    simulated.save(store)

    links = [link for project in simulated.chains for link in effective_chain(store, project)]
    keys = {
        credential.secret.get_secret_value()
        for link in links
        if (credential := read_credential(store, link)) is not None
    }
    primaries = {link.connection.provider for link in links if link.connection.role is Role.PRIMARY}
    assert primaries == set(ProviderKind)
    assert len(keys) == len(links)


def test_the_outage_strikes_one_project_and_ends(simulated: scenes.Scene) -> None:
    outage = simulated.outage
    assert outage is not None
    struck, spared = simulated.chains["acme"][0], simulated.chains["globex"][1]
    assert struck.base_url is not None
    assert struck.secret is not None
    assert spared.secret is not None
    simulator = RemoteSimulator(struck.base_url.removesuffix("/openai/v1"))

    outage.begin()
    [rule] = json.loads(simulator._call("GET", "/faults"))["faults"]
    assert (rule["status"], rule["key"]) == (503, fingerprint(struck.secret.get_secret_value()))
    assert rule["key"] != fingerprint(spared.secret.get_secret_value())

    outage.end()
    assert json.loads(simulator._call("GET", "/faults")) == {"faults": []}


def test_live_takes_the_first_key_that_it_finds_and_the_recommended_model() -> None:
    with scenes.on_live_provider({"OPENAI_API_KEY": f" {KEY}\n"}) as scene:
        store = MemoryStore()
        scene.save(store)
        [link] = effective_chain(store, "acme")
        credential = read_credential(store, link)

    recommended = [facts.id for facts in load_catalogue() if facts.recommended]
    assert link.connection.provider is ProviderKind.OPENAI
    assert link.connection.model in recommended
    assert credential is not None
    assert credential.secret.get_secret_value() == KEY
    assert "OPENAI_API_KEY" in scene.honesty
    assert KEY not in scene.honesty
    assert KEY not in repr(scene)
    assert scene.outage is None


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": "  "}])
def test_live_without_a_key_is_a_usage_error_that_names_the_variable(environ: dict[str, str]) -> None:
    with pytest.raises(CommandError, match="OPENAI_API_KEY"), scenes.on_live_provider(environ):
        pass


def test_live_and_local_exclude_each_other(byom: Byom) -> None:
    result = byom("demo", "--live", "--local-model", "--json")

    assert result.exit_code == 2
    assert "exclude" in json.loads(result.stderr)["error"]["message"]


@pytest.mark.parametrize("wanted", [1, 24, 72, 100])
def test_jobs_are_spread_evenly_over_the_projects(wanted: int) -> None:
    jobs = sample_jobs(wanted, projects=PROJECTS)

    counts = [sum(job.project == project for job in jobs) for project in PROJECTS]
    assert sum(counts) == wanted
    assert max(counts) - min(counts) <= 1


def test_a_repeated_conversation_goes_to_another_project() -> None:
    jobs = [job for job in sample_jobs(72, projects=PROJECTS) if job.episodes[0].id == "ana-1"]

    assert sorted(job.project for job in jobs) == sorted(PROJECTS)


def test_every_third_of_the_jobs_holds_some_of_each_project() -> None:
    jobs = sample_jobs(72, projects=PROJECTS)

    assert all({job.project for job in jobs[start : start + 24]} == set(PROJECTS) for start in (0, 24, 48))


def test_short_jobs_have_one_episode_the_shortest_first() -> None:
    lengths = [[len(episode.text) for episode in job.episodes] for job in sample_jobs(6, projects=PROJECTS, short=True)]

    assert all(len(job) == 1 for job in lengths)
    assert lengths == sorted(lengths)


def fact(subject: str, number: int) -> Fact:
    return Fact(
        id=f"{subject}-{number}",
        subject=subject,
        predicate="P",
        object="o",
        fact=f"{subject} says {number}.",
        evidence="…",
        episode_id="e",
    )


def report(scene: scenes.Scene, *, served: int, good: bool = True) -> Report:
    facts = [fact("Ana", 1), fact("Ana", 2), fact("Ben", 1)]
    result = ExtractionResult(
        job_id="j1",
        project="acme",
        status=JobStatus.SUCCEEDED if good else JobStatus.PARTIAL,
        episodes=[EpisodeResult(episode_id="e", facts=facts)],
    )
    row = UsageRow(
        keys={"project": "acme", "provider": "openai", "role": "primary"},
        attempts=1,
        failed=0,
        tokens=TokenUsage(input=90, output=10),
        cost_usd=0,  # type: ignore[arg-type]  # a whole number serves
        unpriced=1,
    )
    return Report(
        scene=scene,
        outcomes=[("acme", Outcome(job_id="j1", result=result))],
        fallbacks=1,
        usage=[row],
        served_tokens=served,
        flower_url="http://127.0.0.1:5555",
        seconds=7.0,
    )


@pytest.mark.parametrize(("served", "verdict"), [(100, "(equal)"), (101, "(not equal)")])
def test_the_ledger_is_held_against_the_providers_books(
    simulated: scenes.Scene, capsys: pytest.CaptureFixture[str], served: int, verdict: str
) -> None:
    print_report(report(simulated, served=served), as_json=False)

    assert verdict in capsys.readouterr().out


def test_the_report_says_that_it_is_simulated_and_where_flower_is(
    simulated: scenes.Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(report(simulated, served=100), as_json=False)

    printed = capsys.readouterr().out
    assert "not from a language model" in printed
    assert "http://127.0.0.1:5555" in printed
    assert "unknown" in printed


def test_memories_of_different_people_come_first(simulated: scenes.Scene, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report(simulated, served=100), as_json=True)

    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [memory["subject"] for memory in document["memories"]["acme"]] == ["Ana", "Ben", "Ana"]
    assert document["tokens"] == {"ledger": 100, "provider": 100}


def test_a_job_that_was_done_in_part_counts_as_failed(simulated: scenes.Scene) -> None:
    assert report(simulated, served=100, good=False).failed == 1


@pytest.mark.parametrize(
    ("code", "expected", "surprises"),
    [
        (FailureCode.OUTPUT_UNUSABLE, frozenset(), 1),
        (FailureCode.OUTPUT_UNUSABLE, frozenset({FailureCode.OUTPUT_UNUSABLE}), 0),
        (FailureCode.PROVIDER_UNAVAILABLE, frozenset({FailureCode.OUTPUT_UNUSABLE}), 1),
    ],
)
def test_only_failures_that_the_scene_does_not_bring_fail_the_demo(
    simulated: scenes.Scene, code: FailureCode, expected: frozenset[str], surprises: int
) -> None:
    failing = replace(report(simulated, served=100), scene=replace(simulated, expected=expected))
    ended = [
        Outcome(job_id="j1", failure={"code": code, "message": "m"}),
        Outcome(job_id="j2", result=ExtractionResult(job_id="j2", project="acme", status=JobStatus.SUCCEEDED)),
    ]

    assert replace(failing, outcomes=[("acme", outcome) for outcome in ended]).surprises == surprises


def test_without_the_extra_the_local_model_says_what_to_install(
    byom: Byom, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    result = byom("demo", "--local-model")

    assert result.exit_code == 2
    assert "local-model" in result.stderr


def test_the_simulator_is_stopped_with_its_scene() -> None:
    with scenes.on_simulator() as scene:
        url = scene.chains["acme"][0].base_url or ""
    with pytest.raises(OSError, match="refused"):
        RemoteSimulator(url.removesuffix("/openai/v1")).books()


def test_the_simulator_of_the_demo_listens_on_this_machine_only(simulated: scenes.Scene) -> None:
    urls = [link.base_url or "" for chain in simulated.chains.values() for link in chain]

    assert all(url.startswith("http://127.0.0.1:") for url in urls)
