"""What must not be seen is found wherever it stands, in whichever spelling."""

import base64
import json
from pathlib import Path

import pytest

from tasks.contract import ProviderKind
from tests.chaos.keys import LENT, SECRET, key_of, workers_key
from tests.chaos.spilled import holding, logged, written

KEYS = {
    "an API key": key_of(ProviderKind.OPENAI, "alder-primary"),
    "a service account": key_of(ProviderKind.VERTEX, "ginkgo-primary"),
    "an access key": key_of(ProviderKind.BEDROCK, "hazel-primary"),
    "a role": key_of(ProviderKind.BEDROCK, "juniper-primary", role=True),
    "a worker's own key": workers_key(0),
}


@pytest.mark.parametrize("what", KEYS)
def test_a_credential_is_found_plainly_in_json_and_in_the_body_of_a_message(what: str) -> None:
    key = KEYS[what]
    texts = {
        "plain": key.secret.encode(),
        "json": json.dumps({"credential": key.secret}).encode(),
        "message": base64.b64encode(b"x" + json.dumps({"credential": key.secret}).encode()),
        "harmless": b"gpt-6-luna answered in 300 ms",
    }

    assert list(holding(texts.items(), key.marks)) == ["plain", "json", "message"]


@pytest.mark.parametrize("mark", [SECRET, *LENT])
def test_what_vendors_lend_is_found(mark: str) -> None:
    assert list(holding([("a log", f"Bearer {mark}.bz".encode()), ("a page", b"Bearer")], [mark])) == ["a log"]


def test_all_files_are_looked_into_but_the_key_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "valkey" / "appendonlydir").mkdir(parents=True)
    for name in ("worker-0-0.log", "store.json", "store.json.key", "usage.db", "valkey/appendonlydir/broker.aof"):
        (tmp_path / name).write_text(name, encoding="utf-8")

    assert [name for name, _ in logged(tmp_path)] == ["worker-0-0.log"]
    assert dict(written(tmp_path)) == {
        name: name.encode() for name in ("store.json", "usage.db", "valkey/appendonlydir/broker.aof")
    }
