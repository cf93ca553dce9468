"""`byom producer`: what it saves, what it shows, and that a key is shown by one command alone."""

import json
from pathlib import Path

import pytest

from config.producers import POOL, SigningProducer, list_producers, read_keys, read_producer
from config.store import FileStore
from tests.support import START
from tests.unit.cli.conftest import Byom


def saved(store: FileStore, name: str = "crm") -> SigningProducer:
    producer = read_producer(store, name)
    assert producer is not None
    return producer


def test_a_producer_is_added_listed_changed_and_removed(byom: Byom, store: FileStore) -> None:
    added = byom("producer", "add", "crm", "--projects", "globex, acme")
    assert added.exit_code == 0, added.output
    assert "byom producer key crm" in added.output
    [key] = read_keys(store, saved(store), now=START)

    again = byom("producer", "add", "crm", "--projects", "acme", "--json")

    assert json.loads(again.stdout)["projects"] == ["acme"]
    assert read_keys(store, saved(store), now=START) == [key]
    listed = json.loads(byom("producer", "list", "--json").stdout)
    assert [(one["producer"], one["projects"]) for one in listed] == [("crm", ["acme"]), (POOL, ["*"])]
    assert "all projects" in byom("producer", "list").output

    assert byom("producer", "remove", "crm", "--yes").exit_code == 0
    assert [producer.name for producer in list_producers(store)] == [POOL]
    assert [facts.path for facts in store.secrets("/byom/producers/crm")] == []


def test_one_command_shows_the_key_and_no_other(byom: Byom, store: FileStore, home: Path) -> None:
    shown = [byom("producer", "add", "crm", "--all-projects").output]
    key = byom("producer", "key", "crm").stdout.strip()
    assert key.startswith("whsec_")
    assert json.loads(byom("producer", "key", "crm", "--json").stdout) == {"producer": "crm", "version": 1, "key": key}

    lines = ("list", "list --json", "rotate crm", "rotate crm --json", "add crm --projects acme")
    shown += [byom("producer", *words.split()).output for words in lines]
    shown += [byom("audit", "--json").output, (home / ".byom" / "audit.jsonl").read_text()]

    assert [text for text in shown if key.removeprefix("whsec_") in text] == []


def test_a_rotated_key_counts_until_the_overlap_ends(byom: Byom, store: FileStore) -> None:
    byom("producer", "add", "crm", "--projects", "acme")
    [old] = read_keys(store, saved(store), now=START)

    done = byom("producer", "rotate", "crm", "--overlap", "90m")

    assert "counts until" in done.output
    producer = saved(store)
    made = producer.keys[2].created_at
    assert read_keys(store, producer, now=made)[1] == old
    assert len(read_keys(store, producer, now=made.replace(year=made.year + 1))) == 1
    assert "counts no more" in byom("producer", "rotate", "crm", "--overlap", "0m").output
    assert list(saved(store).keys) == [3]


def test_every_change_is_audited(byom: Byom, home: Path) -> None:
    byom("producer", "add", "crm", "--projects", "acme")
    byom("producer", "rotate", "crm")
    byom("producer", "remove", "crm", "--yes")

    [_, *records] = [json.loads(line) for line in (home / ".byom" / "audit.jsonl").read_text().splitlines()]

    assert [(one["action"], one["scope"]) for one in records] == [
        (f"producer.{action}", "/byom/producers/crm") for action in ("save", "rotate", "remove")
    ]
    assert records[0]["changes"] == {"projects": ["acme"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("add crm", "--projects A,B or --all-projects"),
        ("add crm --projects acme --all-projects", "one of the two"),
        ("add crm --projects ../x", "letters, digits"),
        ("add crm --projects acme,", "letters, digits"),
        ("add pool --projects acme", "is the pool itself"),
        ("rotate nobody", "no producer 'nobody'"),
        ("key nobody", "no producer 'nobody'"),
        ("remove nobody --yes", "no producer 'nobody'"),
        ("rotate crm --overlap soon", "soon"),
    ],
)
def test_mistakes_are_told_and_nothing_is_changed(byom: Byom, store: FileStore, words: str, said: str) -> None:
    byom("producer", "add", "crm", "--projects", "acme")
    before = list_producers(store)

    done = byom("producer", *words.split())

    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())
    assert list_producers(store) == before


def test_the_pool_stays_while_there_are_others(byom: Byom, store: FileStore) -> None:
    byom("producer", "add", "crm", "--projects", "acme")

    kept = byom("producer", "remove", POOL, "--yes")

    assert kept.exit_code == 2
    assert "byom producer rotate pool" in " ".join(kept.output.split())
    byom("producer", "remove", "crm", "--yes")
    assert byom("producer", "remove", POOL, "--yes").exit_code == 0
    assert byom("producer", "list").output.startswith("No producers yet")


def test_what_is_not_there_yet_is_said(byom: Byom) -> None:
    done = byom("producer", "add", "crm", "--projects", "acme")

    assert "Not configured yet: acme." in done.output
    assert "BYOM_SIGNED_JOBS" in done.output
