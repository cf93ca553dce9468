"""Whether a process traces, and what it says when it cannot."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from config.errors import SettingsError
from config.settings import Settings
from workers.cli.checks import Status
from workers.cli.checks.tracing import check_tracing
from workers.tracing import NO_TRACING, open_tracing
from workers.tracing.opening import Receiver, receiver_of, tracing_problem
from workers.tracing.otel import OtelTracing

ROOT = Path(__file__).parents[3]
OWN = Settings(otlp_endpoint=SecretStr("http://collector:4318"))
STANDARD = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "workers.tracing.otel", None)


@pytest.mark.parametrize(
    ("settings", "environ", "expected"),
    [
        (Settings(), {}, None),
        (OWN, {}, Receiver(endpoint="http://collector:4318/v1/traces", variable="BYOM_OTLP_ENDPOINT")),
        (
            Settings(otlp_endpoint=SecretStr("https://u:p@host/otlp/v1/traces/")),
            {},
            Receiver(endpoint="https://u:p@host/otlp/v1/traces", variable="BYOM_OTLP_ENDPOINT"),
        ),
        (Settings(), STANDARD, Receiver(endpoint=None, variable="OTEL_EXPORTER_OTLP_ENDPOINT")),
        (
            Settings(),
            {**STANDARD, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"},
            Receiver(endpoint=None, variable="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ),
        (Settings(), {**STANDARD, "OTEL_TRACES_EXPORTER": "none"}, None),
        (Settings(), {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        (OWN, {"OTEL_SDK_DISABLED": "True"}, None),
    ],
)
def test_our_own_setting_beats_opentelemetrys(
    settings: Settings, environ: dict[str, str], expected: Receiver | None
) -> None:
    assert receiver_of(settings, environ) == expected


def test_nobody_traces_unless_somebody_wants_it() -> None:
    assert open_tracing(Settings(), service="x", environ={}) is NO_TRACING


def test_with_a_receiver_it_is_opened() -> None:
    for settings, environ in ((OWN, {}), (Settings(), STANDARD)):
        tracing = open_tracing(settings, service="x", environ=environ)
        assert isinstance(tracing, OtelTracing)
        tracing.close()


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_our_own_setting_is_refused_with_the_mend() -> None:
    with pytest.raises(SettingsError, match=r"BYOM_OTLP_ENDPOINT is set, .* pip install 'byom-workers\[otel\]'"):
        open_tracing(OWN, service="x", environ={})


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_a_setting_for_the_whole_machine_is_no_reason_not_to_run() -> None:
    assert open_tracing(Settings(), service="x", environ=STANDARD) is NO_TRACING
    problem = tracing_problem(Settings(), STANDARD)
    assert problem is not None
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set" in problem.found
    assert "byom-workers[otel]" in problem.mend


def test_a_receiver_of_another_protocol_is_not_bothered() -> None:
    environ = {**STANDARD, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}

    assert open_tracing(Settings(), service="x", environ=environ) is NO_TRACING
    problem = tracing_problem(Settings(), environ)
    assert problem is not None
    assert "grpc" in problem.found
    # Our own setting says HTTP by itself.
    assert tracing_problem(OWN, environ) is None


@pytest.mark.parametrize("url", ["collector:4318", "grpc://collector:4317", "http://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="otlp_endpoint"):
        Settings(otlp_endpoint=SecretStr(url))


def test_a_process_that_is_not_to_trace_imports_nothing_of_it() -> None:
    """The package itself may be there, and other libraries may use it: ours is never reached."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import workers.enqueue.producer, workers.runtime, tasks.extract\n"
        "from config.settings import Settings; from workers.tracing import open_tracing\n"
        "print(type(open_tracing(Settings(), service='x', environ={})).__name__, 'workers.tracing.otel' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == ["NoTracing", "False"]


def client(answer: int | Exception) -> httpx.Client:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        assert request.url.path == "/v1/traces"
        return httpx.Response(answer)

    return httpx.Client(transport=httpx.MockTransport(handle))


def test_the_doctor_says_nothing_of_traces_that_nobody_wants() -> None:
    assert list(check_tracing(client(200), Settings(), environ={})) == []


@pytest.mark.parametrize(
    ("answer", "status", "found"),
    [(405, Status.OK, "sent to collector:4318"), (httpx.ConnectError("x"), Status.WARN, "does not answer")],
)
def test_the_doctor_asks_the_receiver(answer: int | Exception, status: Status, found: str) -> None:
    (check,) = check_tracing(client(answer), OWN, environ={})

    assert check.status is status
    assert found in check.found


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize(
    ("settings", "environ", "status"), [(OWN, {}, Status.FAIL), (Settings(), STANDARD, Status.WARN)]
)
def test_the_doctor_misses_the_extra(settings: Settings, environ: dict[str, str], status: Status) -> None:
    (check,) = check_tracing(client(200), settings, environ=environ)

    assert check.status is status
    assert "byom-workers[otel]" in check.mend


def test_the_doctor_tells_no_password_of_a_receiver() -> None:
    settings = Settings(otlp_endpoint=SecretStr("https://ada:canary-password@collector"))
    (check,) = check_tracing(client(httpx.ConnectError("x")), settings, environ={})

    assert "canary-password" not in f"{check}"
