"""The smallest question that proves what extraction needs of a model, and what its answer proves. Pure."""

import json
from collections.abc import Iterator
from typing import Any, Final

from config.catalogue import ModelFacts, ReasoningOff
from config.connections import Connection, EffectiveConnection
from config.credentials import Credential
from config.kinds import kind_of
from workers.providers.base import Call, Prompt, Reply
from workers.verification.names import address, same_model, vendor_of
from workers.verification.report import Check, CheckName, Problem, Status

_EXPECTED: Final = {"status": "ready"}
#: One field with one value, in the portable subset that all seven kinds accept.
_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"status": {"type": "string", "enum": ["ready"]}},
    "required": ["status"],
    "additionalProperties": False,
}
#: Nothing here says JSON: a server that ignores the schema is to show it by answering in prose.
_SYSTEM: Final = "This is a test of a connection. Report your status and nothing else."
_USER: Final = "You are ready. What is your status?"

#: Room for the answer, which takes some 10 tokens (some 50 as a tool call).
_ROOM: Final = 256
#: The same for models that think: their thoughts count against the cap, too. Only what is written is billed.
_ROOM_TO_THINK: Final = 4_096
#: An answer with more tokens than this was thought over, whether the provider counts thoughts apart or not.
_MOST: Final = 128

_THINKS_LESS: Final = frozenset({ReasoningOff.OFF, ReasoningOff.NOT_NEEDED})


def _probe(facts: ModelFacts) -> Prompt:
    room = _ROOM if facts.reasoning in _THINKS_LESS else _ROOM_TO_THINK
    return Prompt(
        system=_SYSTEM,
        user=_USER,
        schema_name="connection_test",
        schema=_SCHEMA,
        version="connection-test-v1",
        max_output_tokens=min(room, facts.max_output),
    )


def probe_call(effective: EffectiveConnection, credential: Credential | None, facts: ModelFacts) -> Call:
    """The call by which a connection is tested, tagged as such."""
    connection = effective.connection
    return Call(
        prompt=_probe(facts),
        connection=connection,
        credential=credential,
        model=facts,
        tags={
            **connection.labels,
            "project": effective.project,
            "provider": connection.provider.value,
            "role": connection.role.value,
            "job": "verification",
        },
    )


def proven(call: Call, reply: Reply) -> Iterator[Check]:
    """What a reply proves: all checks but the last, which is not for the model to answer."""
    connection = call.connection
    vendor = vendor_of(connection)
    yield passed(CheckName.ENDPOINT, connection)
    yield passed(CheckName.CREDENTIAL, connection)
    yield passed(CheckName.PERMISSION, connection)
    yield _model(connection, vendor, reply.served_model)
    yield _structured_output(connection, vendor, reply.text)
    yield _reasoning(connection, call.model, reply)


def passed(name: CheckName, connection: Connection) -> Check:
    """A check that went well, in its plain words."""
    vendor = vendor_of(connection)
    key = "the credential is accepted" if connection.credential else "no key is sent, and none is asked for"
    words = {
        CheckName.ENDPOINT: f"{vendor} answers at {address(connection)}",
        CheckName.CREDENTIAL: key,
        CheckName.PERMISSION: f"it may call {connection.model}",
        CheckName.MODEL: f"{connection.model} answers",
        CheckName.STRUCTURED_OUTPUT: "the answer fits its JSON Schema",
    }
    return Check(name=name, status=Status.OK, message=words[name])


def _model(connection: Connection, vendor: str, served: str | None) -> Check:
    asked = connection.model
    if served is None or same_model(asked, served):
        return passed(CheckName.MODEL, connection)
    kind = kind_of(connection.provider)
    if kind.free_models:
        # Such servers name models as they like; many have one only and answer to every name.
        return Check(name=CheckName.MODEL, status=Status.OK, message=f"{asked} answers, under the name {served}")
    if kind.deployments is not None:
        mend = f"name the deployment after its model, {served}, and give that as the model"
        return _warning(CheckName.MODEL, f"the deployment {asked} runs another model, {served}", mend)
    mend = f"choose {served} yourself, or another model that is still served; see `byom models`"
    return _warning(CheckName.MODEL, f"{vendor} answers with another model, {served}, and bills for that one", mend)


def _structured_output(connection: Connection, vendor: str, text: str) -> Check:
    if _json(text) == _EXPECTED:
        return passed(CheckName.STRUCTURED_OUTPUT, connection)
    inner = text[text.find("{") : text.rfind("}") + 1]
    if _json(inner) == _EXPECTED:
        return _warning(
            CheckName.STRUCTURED_OUTPUT,
            f"{connection.model} wrote more than the JSON that was asked for: the schema is not enforced",
            "jobs cope with it, at the price of more unusable answers; a model of `byom models` is safer",
        )
    return Check(
        name=CheckName.STRUCTURED_OUTPUT,
        status=Status.FAILED,
        problem=Problem.UNUSABLE_OUTPUT,
        message=f"{connection.model} answered, but not in the JSON Schema that was asked for",
        mend=f"{vendor} must hold this model to response_format json_schema: update the server or choose another model"
        if kind_of(connection.provider).free_models
        else "choose a model that takes structured output; see `byom models`",
    )


def _reasoning(connection: Connection, facts: ModelFacts, reply: Reply) -> Check:
    thought, written = reply.usage.reasoning, reply.usage.output
    name, model = CheckName.REASONING_OFF, connection.model
    spent = f"{thought} of the {written} output tokens of this one-word answer were reasoning"
    cheaper = "jobs pay for all reasoning as output, and wait for it; choose a model without, see `byom models`"
    if facts.reasoning is ReasoningOff.LOWEST:
        lowest = f"{model} cannot go without reasoning; it is turned down to {facts.reasoning_value}, its lowest level"
        return _warning(name, f"{lowest}; {spent}", cheaper)
    if thought or written > _MOST:
        spent = spent if thought else f"this one-word answer took {written} output tokens"
        if facts.reasoning is ReasoningOff.UNKNOWN:
            return _warning(
                name, f"{model} reasons: {spent}", "switch reasoning off where the model is served, or choose another"
            )
        return _warning(name, f"{model} reasons although it is switched off: {spent}", cheaper)
    off = {ReasoningOff.OFF: "reasoning is switched off", ReasoningOff.NOT_NEEDED: "the model does not reason"}
    return Check(name=name, status=Status.OK, message=off.get(facts.reasoning, "no reasoning was seen"))


def _warning(name: CheckName, message: str, mend: str) -> Check:
    return Check(name=name, status=Status.WARNING, message=message, mend=mend)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
