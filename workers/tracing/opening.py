"""Whether a process traces, and where to: `BYOM_OTLP_ENDPOINT`, or the standard variables of OpenTelemetry."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from config.errors import SettingsError
from config.settings import Settings
from workers.tracing.base import Tracing
from workers.tracing.untraced import NO_TRACING

_OWN: Final = "BYOM_OTLP_ENDPOINT"
#: The first that is set counts, as for every OpenTelemetry SDK.
_STANDARD: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PATH: Final = "/v1/traces"

MEND: Final = "pip install 'byom-workers[otel]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Who is to get the traces."""

    #: Full address; None where the SDK finds it by itself.
    endpoint: str | None
    #: The variable that says so.
    variable: str

    @property
    def is_own(self) -> bool:
        """Whether it was set for this program, and not for all programs of the machine."""
        return self.variable == _OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why nothing is traced although somebody wants it."""

    found: str
    mend: str


def receiver_of(settings: Settings, environ: Mapping[str, str]) -> Receiver | None:
    """Who is to get the traces of a process; None when nobody is."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if settings.otlp_endpoint is not None:
        base = settings.otlp_endpoint.get_secret_value().rstrip("/")
        return Receiver(endpoint=base if base.endswith(_PATH) else base + _PATH, variable=_OWN)
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() != "otlp":
        return None
    variable = next((name for name in _STANDARD if environ.get(name)), None)
    return None if variable is None else Receiver(endpoint=None, variable=variable)


def problem_of(receiver: Receiver, environ: Mapping[str, str]) -> Problem | None:
    """Why a receiver gets nothing, or None if it does."""
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    if not receiver.is_own and protocol != "http/protobuf":
        return Problem(
            found=f"{receiver.variable} is set for {protocol}, and traces are sent as http/protobuf only",
            mend=f"set {_OWN} to the receiver's address for HTTP (port 4318), or OTEL_TRACES_EXPORTER=none",
        )
    try:
        import workers.tracing.otel  # noqa: F401, PLC0415 - imported only where it is wanted
    except ImportError:
        return Problem(
            found=f"{receiver.variable} is set, but what sends traces is not installed",
            mend=f"{MEND}; or unset it, or set OTEL_SDK_DISABLED=true",
        )
    return None


def tracing_problem(settings: Settings, environ: Mapping[str, str] = os.environ) -> Problem | None:
    """Why nothing is traced in a process although somebody wants it.

    Raises:
        SettingsError: it is wanted by our own setting; the process should not start.
    """
    receiver = receiver_of(settings, environ)
    if receiver is None:
        return None
    problem = problem_of(receiver, environ)
    if problem is not None and receiver.is_own:
        raise SettingsError(f"{problem.found}: {problem.mend}")
    return problem


def open_tracing(settings: Settings, *, service: str, environ: Mapping[str, str] = os.environ) -> Tracing:
    """The tracing of a process; close it.

    Without a receiver nothing of OpenTelemetry is imported. One that is set for all programs of a machine, and cannot
    be served here, is no reason not to run.

    Args:
        settings: of the process.
        service: what traces call it, unless OpenTelemetry's own variables say otherwise.
        environ: of the process.

    Raises:
        SettingsError: `BYOM_OTLP_ENDPOINT` is set, and the extra `otel` is missing.
    """
    receiver = receiver_of(settings, environ)
    if receiver is None or tracing_problem(settings, environ) is not None:
        return NO_TRACING
    from workers.tracing.otel import OtelTracing, exporter_to  # noqa: PLC0415 - as above

    return OtelTracing.sending(exporter_to(receiver.endpoint), service=service)
