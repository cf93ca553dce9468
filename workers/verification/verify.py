"""Verifies a connection by calling its model once, as a worker would, and by reading its provider's list of models."""

import difflib
from collections.abc import Mapping
from dataclasses import replace

from pydantic import SecretStr

from config.catalogue import Catalogue
from config.connections import Connection, EffectiveConnection
from config.credentials import Credential
from config.errors import UnknownModel
from config.kinds import KINDS, kind_of
from config.prices import price
from tasks.contract import ProviderKind
from workers.clock import Clock
from workers.providers.base import Call, Fault, FaultKind, Provider, Reply
from workers.providers.transport import Transport
from workers.verification.diagnosis import around, diagnose
from workers.verification.lifecycle import lifecycle
from workers.verification.live_models import LiveModels, live_models
from workers.verification.names import vendor_of
from workers.verification.probe import probe_call, proven
from workers.verification.report import Attempt, Check, CheckName, Problem, Status, Verification

#: Calls of the model at most: what may pass within a moment gets a second one.
_TRIES = 2
#: Faults in which the provider did not find something, or did not understand.
_LOST = frozenset({FaultKind.MODEL_NOT_FOUND, FaultKind.ENDPOINT_INVALID})


async def verify(
    effective: EffectiveConnection,
    credential: Credential | None,
    *,
    providers: Mapping[ProviderKind, Provider],
    transport: Transport,
    catalogue: Catalogue,
    clock: Clock,
    timeout: float,  # noqa: ASYNC109 - bounds each request
) -> Verification:
    """Make a real, minimal call with a connection, and say what is wrong in the user's terms.

    Whatever goes wrong with the provider is in the report, never an exception.

    Args:
        effective: the connection as its project sees it; it need not be saved.
        credential: its secret; None for servers without keys.
        providers: how each kind is called.
        transport: sends the calls.
        catalogue: how the model is to be called.
        clock: dates attempts, prices and the days until a model ends.
        timeout: seconds for each request.
    """
    connection = effective.connection
    try:
        facts = catalogue.find(connection.provider, connection.model, unverified=connection.unverified)
    except UnknownModel as error:
        return unverifiable(effective, CheckName.MODEL, Problem.UNKNOWN_MODEL, str(error))
    provider = providers[connection.provider]
    call = probe_call(effective, credential, facts)
    answer, attempts = await _ask(call, provider=provider, transport=transport, clock=clock, timeout=timeout)
    live: LiveModels | Fault | None = None
    if _list_tells_more(answer, connection.provider):
        live = await live_models(call, provider=provider, transport=transport, timeout=timeout)
    if isinstance(answer, Reply):
        last = lifecycle(connection, facts, live, today=clock.now().date())
        checks = (*proven(call, answer), last)
    else:
        fault = _sharpened(answer, connection, live)
        checks = diagnose(fault, connection, hint=_hint(fault, call, live))
    return _report(effective, checks, credential=credential, attempts=attempts)


def unverifiable(effective: EffectiveConnection, name: CheckName, problem: Problem, message: str) -> Verification:
    """The report of a connection that cannot even be called, such as one whose credential is not in the store."""
    failed = Check(name=name, status=Status.FAILED, problem=problem, message=message)
    return _report(effective, around(failed, effective.connection), credential=None, attempts=[])


def _report(
    effective: EffectiveConnection,
    checks: tuple[Check, ...],
    *,
    credential: Credential | None,
    attempts: list[Attempt],
) -> Verification:
    connection = effective.connection
    return Verification(
        project=effective.project,
        connection=connection.name,
        provider=connection.provider,
        model=connection.model,
        credential_version=credential.version if credential else None,
        checks=checks,
        attempts=tuple(attempts),
    )


async def _ask(
    call: Call,
    *,
    provider: Provider,
    transport: Transport,
    clock: Clock,
    timeout: float,  # noqa: ASYNC109 - as above
) -> tuple[Reply | Fault, list[Attempt]]:
    """The model's answer, after one retry of what may pass within a moment."""
    attempts: list[Attempt] = []
    while True:
        started_at = clock.now()
        sent = await transport.send(provider, call, timeout=timeout)
        answer = sent.answer
        model = answer.served_model or call.connection.model
        cost = price(call.connection.provider, model, usage=answer.usage, at=started_at)
        attempts.append(
            Attempt(
                started_at=started_at,
                latency=sent.latency,
                outcome="ok" if isinstance(answer, Reply) else answer.kind.value,
                usage=answer.usage,
                cost_usd=cost.usd if cost else None,
                served_model=answer.served_model,
                request_id=answer.request_id,
            )
        )
        if len(attempts) == _TRIES or not _passing(answer):
            return answer, attempts


def _passing(answer: Reply | Fault) -> bool:
    """Whether the same call may well succeed at once: a broken connection, a server error, a switch of format."""
    if isinstance(answer, Reply) or answer.retry_after:
        return False
    # Without a status it was not the provider that failed, but what this machine needs before it can call.
    return answer.kind is FaultKind.READ or (answer.kind is FaultKind.UNAVAILABLE and answer.status is not None)


def _list_tells_more(answer: Reply | Fault, provider: ProviderKind) -> bool:
    """Whether the provider's list is worth a request: to see when a model ends, or what was not found."""
    if isinstance(answer, Reply) or answer.kind is FaultKind.MODEL_NOT_FOUND:
        return True
    return answer.kind is FaultKind.BAD_REQUEST and kind_of(provider).free_models


def _sharpened(fault: Fault, connection: Connection, live: LiveModels | Fault | None) -> Fault:
    """What was not found or not understood, told apart by the provider's list of models."""
    if fault.kind is FaultKind.MODEL_NOT_FOUND and isinstance(live, Fault) and live.kind in _LOST:
        # Neither the model nor the list is there: it is the path that is wrong.
        return replace(fault, kind=FaultKind.ENDPOINT_INVALID)
    if (
        fault.kind is FaultKind.BAD_REQUEST
        and isinstance(live, LiveModels)
        and live.models
        and live.find(connection.model) is None
    ):
        # Gateways call an unknown model a bad request.
        return replace(fault, kind=FaultKind.MODEL_NOT_FOUND)
    return fault


def _hint(fault: Fault, call: Call, live: LiveModels | Fault | None) -> str:
    """What is known of this very case beyond the table."""
    connection = call.connection
    if fault.kind is FaultKind.CREDENTIAL_REJECTED and call.credential is not None:
        words = _looks_of(call.credential.secret)
        fitting = kind_of(connection.provider).likely_keys.values()
        return f"what you gave looks like {words}" if words and fitting and words not in fitting else ""
    if fault.kind is FaultKind.MODEL_NOT_FOUND and isinstance(live, LiveModels):
        names = [model.id for model in live.models]
        close = difflib.get_close_matches(connection.model, names, 3, 0.5)
        listed = close or (names[:5] if kind_of(connection.provider).free_models else [])
        return f"{vendor_of(connection)} lists {', '.join(listed)}" if listed else ""
    return ""


def _looks_of(secret: SecretStr) -> str | None:
    """What a credential looks like, by the longest beginning that is known."""
    text = secret.get_secret_value()
    looks = {start: words for kind in KINDS.values() for start, words in kind.likely_keys.items()}
    return next((looks[start] for start in sorted(looks, key=len, reverse=True) if text.startswith(start)), None)
