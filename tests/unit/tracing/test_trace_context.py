"""What messages carry of traces, whoever wrote it."""

from types import SimpleNamespace
from typing import Any

import pytest

from workers.tracing import TraceContext

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_well_formed_context_is_carried_as_it_is() -> None:
    context = TraceContext.of(SimpleNamespace(traceparent=PARENT, tracestate="a=1,b@c=2~3"))

    assert context == TraceContext(traceparent=PARENT, tracestate="a=1,b@c=2~3")
    assert context is not None
    assert context.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert context.as_headers() == {"traceparent": PARENT, "tracestate": "a=1,b@c=2~3"}
    assert TraceContext(traceparent=PARENT).as_headers() == {"traceparent": PARENT}


@pytest.mark.parametrize(
    "parent",
    [
        None,
        7,
        "",
        "Ada moved to Lisbon",
        PARENT.upper(),
        PARENT + "-more",
        PARENT + "\n",
        "ff" + PARENT[2:],
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        [PARENT],
    ],
)
def test_what_is_no_context_goes_nowhere(parent: Any) -> None:
    assert TraceContext.of(SimpleNamespace(traceparent=parent, tracestate="a=1")) is None


def test_a_message_without_a_context_has_none() -> None:
    assert TraceContext.of(SimpleNamespace()) is None


@pytest.mark.parametrize("state", [None, 7, "", "no state", "a=Ada moved to Lisbon", "a=" + "x" * 600, "a=1\n"])
def test_a_state_that_is_none_is_left_out(state: Any) -> None:
    assert TraceContext.of(SimpleNamespace(traceparent=PARENT, tracestate=state)) == TraceContext(traceparent=PARENT)
