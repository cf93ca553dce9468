import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.broker.describe import UNREADABLE, describe

JOB = {"project": "acme", "episodes": [{"id": "1", "content": "SECRET"}, {"id": "2", "content": "SECRET"}]}
ROUTE = {
    "connection": "main",
    "provider": "openai",
    "model": "gpt-6-luna",
    "role": "fallback",
    "history": [{"connection": "first", "provider": "gemini", "model": "m", "code": "x"}],
}


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "shown"),
    [
        pytest.param(
            "byom.extract.v1", [JOB], {}, {"project": "acme", "episodes": 2, "job": "j-1"}, id="entry by position"
        ),
        pytest.param(
            "byom.extract.v1", [], {"job": JOB}, {"project": "acme", "episodes": 2, "job": "j-1"}, id="entry by name"
        ),
        pytest.param(
            "extract.openai",
            [],
            {"job": JOB, "route": ROUTE},
            {
                "project": "acme",
                "provider": "openai",
                "model": "gpt-6-luna",
                "role": "fallback",
                "attempt": 2,
                "episodes": 2,
                "job": "j-1",
            },
            id="one attempt",
        ),
        pytest.param("celery.chord_unlock", ["SECRET"], {"x": "SECRET"}, {"job": "j-1"}, id="another task"),
        pytest.param("byom.extract.v1", "SECRET", "SECRET", {"job": "j-1"}, id="not even arguments"),
        pytest.param(
            "byom.extract.v1",
            [{"project": "what somebody said", "episodes": {"SECRET": 1}}],
            {},
            {"project": UNREADABLE, "episodes": 0, "job": "j-1"},
            id="prose for a name",
        ),
        pytest.param(
            "byom.extract.v1", [{"project": "x" * 10_000_000}], {}, {"project": UNREADABLE, "job": "j-1"}, id="too long"
        ),
        pytest.param(
            "extract.bedrock",
            [],
            {"job": JOB, "route": {**ROUTE, "model": "anthropic.claude-haiku-4-5-20251001-v1:0", "history": None}},
            {
                "project": "acme",
                "provider": "bedrock",
                "model": "anthropic.claude-haiku-4-5-20251001-v1:0",
                "role": "fallback",
                "attempt": 1,
                "episodes": 2,
                "job": "j-1",
            },
            id="a model id with punctuation",
        ),
    ],
)
def test_a_task_shows_who_where_and_how_many(name: str, args: Any, kwargs: Any, shown: dict[str, Any]) -> None:
    text = describe(name, "j-1", args, kwargs)

    assert ast.literal_eval(text) == shown
    assert "SECRET" not in text


def test_the_order_is_fixed_so_that_the_columns_of_a_list_line_up() -> None:
    text = describe("extract.openai", "j-1", (), {"job": JOB, "route": ROUTE})

    assert text == (
        "{'project': 'acme', 'provider': 'openai', 'model': 'gpt-6-luna', 'role': 'fallback', "
        "'attempt': 2, 'episodes': 2, 'job': 'j-1'}"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(task_id=st.text(), args=JSON, job=JSON, route=JSON)
def test_no_payload_makes_it_fail_or_grow(task_id: str, args: Any, job: Any, route: Any) -> None:
    text = describe("extract.openai", task_id, args, {"job": job, "route": route})

    assert isinstance(ast.literal_eval(text), dict)
    assert len(text) < 1_000
