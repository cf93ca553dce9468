"""In whose name a process signs, and that its messages carry the signature."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
import redis
from pydantic import SecretStr, ValidationError

from config.connections import project_path, save_connection, save_project
from config.errors import StoreError
from config.producers import POOL, read_keys, read_producer, rotate_key
from config.settings import Settings
from config.store import MemoryStore
from tasks.contract import ExtractionJob, JobRefused
from tests.support import ManualClock, effective
from tests.unit.signing.conftest import JOB, message
from workers.app import create_app
from workers.backfill.publisher import LanePublisher
from workers.engine.address import address_of, patience_of
from workers.engine.routing import first_route
from workers.signing import SIGNATURE, Guard, open_signer, pool_signer
from workers.task.messages import AttemptMessages

KEY = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def test_nobody_signs_where_nobody_asks_for_it(store: MemoryStore) -> None:
    assert open_signer(Settings(), store) is None
    assert pool_signer(Settings(producer_name="crm", producer_key=KEY), store) is None


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_without_a_name_the_pool_signs(store: MemoryStore, clock: ManualClock, guard: Guard, mode: str) -> None:
    signer = open_signer(Settings.model_validate({"signed_jobs": mode}), store, clock=clock)
    assert signer is not None

    header = signer.header(JOB, job_id="j1")

    assert header[SIGNATURE]["producer"] == POOL
    guard.check(message(header), JOB, project="acme")


def test_with_a_name_and_a_key_the_producer_signs_and_asks_no_store(clock: ManualClock) -> None:
    signer = open_signer(Settings(producer_name="crm", producer_key=KEY), MemoryStore(), clock=clock)
    assert signer is not None

    assert signer.header(JOB, job_id="j1")[SIGNATURE]["producer"] == "crm"


def test_what_the_pool_sends_anew_it_signs_itself_whatever_producer_is_set(
    store: MemoryStore, clock: ManualClock
) -> None:
    settings = Settings(producer_name="crm", producer_key=KEY, signed_jobs="required")
    signer = pool_signer(settings, store, clock=clock)
    assert signer is not None

    assert signer.header(JOB, job_id="j1", replays=1)[SIGNATURE]["producer"] == POOL


def test_a_new_key_of_the_pool_is_used_within_half_a_minute(
    store: MemoryStore, clock: ManualClock, guard: Guard
) -> None:
    signer = pool_signer(Settings(signed_jobs="required"), store, clock=clock)
    pool = read_producer(store, POOL)
    assert signer is not None
    assert pool is not None
    before = signer.header(JOB, job_id="j1")[SIGNATURE]

    rotated = rotate_key(store, pool, now=clock.now(), overlap=timedelta(0))
    clock.seconds += 31
    after = signer.header(JOB, job_id="j1")

    assert len(read_keys(store, rotated, now=clock.now())) == 1
    assert after[SIGNATURE]["signature"] != before["signature"]
    guard.check(message(after), JOB, project="acme")


def test_a_pool_without_a_key_says_how_to_get_one(clock: ManualClock) -> None:
    signer = open_signer(Settings(signed_jobs="required"), MemoryStore(), clock=clock)
    assert signer is not None

    with pytest.raises(StoreError, match="byom producer add"):
        signer.header(JOB, job_id="j1")


def test_what_cannot_be_signed_is_refused_before_it_is_sent(store: MemoryStore, clock: ManualClock) -> None:
    signer = open_signer(Settings(signed_jobs="required"), store, clock=clock)
    assert signer is not None
    payload = {**JOB, "episodes": [{"id": "e", "kind": "json", "content": {"n": 2**60}}]}

    with pytest.raises(JobRefused, match="cannot be signed") as caught:
        signer.header(payload, job_id="j1")

    assert str(2**60) not in caught.value.message


def test_the_message_of_a_job_carries_the_signature_over_what_the_worker_will_see(
    store: MemoryStore, clock: ManualClock, guard: Guard
) -> None:
    signer = open_signer(Settings(signed_jobs="required"), store, clock=clock)
    job = ExtractionJob.model_validate(
        {**JOB, "episodes": [{"id": "e", "kind": "json", "content": {"ü": [1.0, 1e-7, 12]}}], "labels": {"b": "1"}}
    )
    chain = [effective()]
    address = address_of(job, chain, first_route(chain), patience_of(Settings()))
    assert address is not None

    entry = AttemptMessages(create_app(Settings()), signer=signer).entry(job, first_route(chain), address, job_id="j1")

    document = json.loads(entry.message)
    [_, kwargs, _] = json.loads(base64.b64decode(document["body"]))
    header = {SIGNATURE: document["headers"][SIGNATURE]}
    guard.check(message(header), kwargs["job"], project="acme")


@pytest.mark.parametrize("given", [{"producer_name": "crm"}, {"producer_key": KEY}], ids=list)
def test_a_name_without_its_key_is_no_setting(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="go together"):
        Settings.model_validate(given)


@pytest.mark.parametrize("key", ["whsec_", "whsec_***", "plain text"])
def test_what_is_no_key_is_no_setting_and_is_not_repeated(key: str) -> None:
    with pytest.raises(ValidationError, match="byom producer key") as caught:
        Settings(producer_name="crm", producer_key=SecretStr(key))

    assert "***" not in str(caught.value).replace("**********", "")
    assert "plain text" not in str(caught.value)


def test_what_a_backfill_publishes_is_signed_at_the_time_that_its_driver_goes_by(
    store: MemoryStore, clock: ManualClock, valkey_client: redis.Redis
) -> None:
    save_project(store, "acme")
    primary = {"name": "primary", "provider": "openai", "model": "gpt-6-luna", "credential": "key"}
    save_connection(store, project_path("acme"), {**primary, "tpm_capacity": 1_000, "tpm_refill_per_second": 10})
    port = valkey_client.connection_pool.connection_kwargs["port"]
    settings = Settings.model_validate({"signed_jobs": "required", "broker_url": f"redis://127.0.0.1:{port}/0"})
    clock.seconds -= 40 * 86_400

    with create_app(settings) as app:
        publisher = LanePublisher.of(settings, app=app, store=store, client=valkey_client, clock=clock)
        publisher.publish([("filled", ExtractionJob.model_validate(JOB))])

    [lane] = valkey_client.scan_iter("byom:lanes:jobs:*")
    queued: Any = valkey_client.lindex(lane, 0)
    signed = json.loads(queued.partition(b"\n")[2])["headers"][SIGNATURE]
    assert (signed["producer"], signed["timestamp"]) == (POOL, int(clock.now().timestamp()))
