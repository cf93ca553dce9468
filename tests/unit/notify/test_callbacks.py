"""Callbacks are looked at before a job is accepted: nothing is refused that works, and nothing taken that cannot."""

import pytest

from config.connections import account_path, project_path, save_project
from config.store import MemoryStore, Parameter
from config.webhooks import CALLBACK, save_webhook
from tests.notify import make_job
from tests.support import START, ManualClock
from workers.notify import CallbackCheck


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    save_project(made, "acme", account="acme-inc")
    return made


def problem(store: MemoryStore, url: str | None = "https://pipeline.example.com/x?t=1", **options: bool) -> str | None:
    check = CallbackCheck(store, clock=ManualClock(), ttl=5, allow_private=options.get("allow_private", False))
    return check.problem(make_job(callback_url=url))


def test_a_job_without_a_callback_needs_no_secret(store: MemoryStore) -> None:
    assert problem(store, None) is None


def test_without_a_secret_the_refusal_says_how_to_make_one(store: MemoryStore) -> None:
    assert problem(store) == (
        "project 'acme' has no secret that could sign callbacks; make one with: byom webhook secret --project acme"
    )


@pytest.mark.parametrize("scope", [project_path("acme"), account_path("acme-inc")])
def test_a_secret_of_the_project_or_of_its_account_will_do(store: MemoryStore, scope: str) -> None:
    save_webhook(store, scope, CALLBACK, url=None, kinds=(), now=START)

    assert problem(store) is None


@pytest.mark.parametrize("url", ["http://pipeline.example.com/x", "https://10.0.0.7/x", "http://127.0.0.1:8000/done"])
def test_an_address_that_may_not_be_called_is_refused(store: MemoryStore, url: str) -> None:
    save_webhook(store, project_path("acme"), CALLBACK, url=None, kinds=(), now=START)

    assert problem(store, url) is not None
    assert (problem(store, url, allow_private=True) is None) is not url.startswith("http://pipeline")


def test_a_project_that_has_a_secret_is_not_looked_up_for_each_job(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_webhook(store, project_path("acme"), CALLBACK, url=None, kinds=(), now=START)
    clock = ManualClock()
    check = CallbackCheck(store, clock=clock, ttl=5, allow_private=False)
    job = make_job(callback_url="https://pipeline.example.com/x")
    assert check.problem(job) is None

    reads: list[str] = []
    get = store.get

    def counted(path: str) -> Parameter | None:
        reads.append(path)
        return get(path)

    monkeypatch.setattr(store, "get", counted)
    assert check.problem(job) is None
    assert reads == []
    clock.seconds = 5
    assert check.problem(job) is None
    assert reads != []
    assert not [path for path in reads if "webhook-secrets" in path]
