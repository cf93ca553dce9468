"""What is signed: the same in every language, and different for whatever it must not be taken for."""

import json
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.support import START
from workers.signing.statement import CannotSign, Signed, is_signed, signature, statement

KEY = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
OTHER = SecretStr("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
TASK = "byom.extract.v1"


def test_a_statement_is_canonical_json() -> None:
    payload = {"b": 1.0, "a": "Zoë\n", "€": None, "n": [1e21, -0.0, 0.1]}

    text = statement(task=TASK, producer="crm", payload=payload)

    assert text == (
        '{"payload":{"a":"Zoë\\n","b":1,"n":[1e+21,0,0.1],"€":null},"producer":"crm","task":"byom.extract.v1"}'
    )


def test_replays_are_a_part_of_it_only_where_there_are_any() -> None:
    plain = statement(task=TASK, producer="pool", payload={})

    assert statement(task=TASK, producer="pool", payload={}, replays=0) == plain
    assert statement(task=TASK, producer="pool", payload={}, replays=2) == plain.replace(
        ',"task"', ',"replays":2,"task"'
    )


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abé€𝄞", max_size=3), inner, max_size=4),
    max_leaves=10,
)


@given(payload=st.dictionaries(st.text("abc"), json_values, max_size=4))
def test_a_payload_says_the_same_after_it_went_through_json(payload: dict[str, Any]) -> None:
    try:
        signed = statement(task=TASK, producer="crm", payload=payload)
    except CannotSign:
        return

    shuffled = dict(reversed(json.loads(json.dumps(payload)).items()))
    assert statement(task=TASK, producer="crm", payload=shuffled) == signed


@pytest.mark.parametrize(
    "value",
    [2**53 + 1, float("nan"), float("inf"), "\ud800", {"\ud800": 1}, object(), START],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_canonical_form_is_not_signed_and_not_repeated(value: Any) -> None:
    with pytest.raises(CannotSign) as caught:
        statement(task=TASK, producer="crm", payload={"content": value})

    assert repr(value) not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_signature_is_that_of_standard_webhooks() -> None:
    timestamp, text = int(START.timestamp()), statement(task=TASK, producer="crm", payload={"a": 1})

    made = signature(KEY, job_id="j-1", timestamp=timestamp, text=text)

    assert made == standardwebhooks.Webhook(KEY.get_secret_value()).sign("j-1", START, text)
    assert made.startswith("v1,")


@pytest.mark.parametrize("job_id", ["", "a b", "-x", "x" * 129, "a.{", "é"])
def test_an_id_that_could_be_taken_for_more_is_not_signed(job_id: str) -> None:
    with pytest.raises(CannotSign, match="letters, digits"):
        signature(KEY, job_id=job_id, timestamp=1, text="{}")


def test_one_right_signature_by_one_right_key_does() -> None:
    right = signature(KEY, job_id="j", timestamp=5, text="{}")
    wrong = signature(OTHER, job_id="j", timestamp=5, text="{}")

    def signed(text: str, *keys: SecretStr) -> bool:
        found = Signed.of({"producer": "crm", "timestamp": 5, "signature": text})
        assert found is not None
        return is_signed(found, keys, job_id="j", text="{}")

    assert signed(right, KEY)
    assert signed(f"{wrong} {right}", KEY)
    assert signed(right, OTHER, KEY)
    assert not signed(wrong, KEY)
    assert not signed(right)
    assert not signed(" ".join([wrong] * 4 + [right]), KEY), "only so many are looked at"


@pytest.mark.parametrize(
    "told",
    [
        None,
        "v1,abc",
        {"producer": "crm", "timestamp": 5},
        {"producer": "crm", "timestamp": "5", "signature": "v1,x"},
        {"producer": "crm", "timestamp": True, "signature": "v1,x"},
        {"producer": "crm", "timestamp": -1, "signature": "v1,x"},
        {"producer": "crm", "timestamp": 10**12, "signature": "v1,x"},
        {"producer": "../pool", "timestamp": 5, "signature": "v1,x"},
        {"producer": "crm", "timestamp": 5, "signature": "é"},
        {"producer": "crm", "timestamp": 5, "signature": "x" * 513},
    ],
    ids=repr,
)
def test_what_is_no_header_is_none(told: Any) -> None:
    assert Signed.of(told) is None
