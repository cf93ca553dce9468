"""Faults on demand: rules that say which requests go wrong, how, and how often."""

import json
import random
from collections.abc import Iterator
from enum import StrEnum
from itertools import count
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workers.embedded.simulator.exchange import Finish, Reason, Rejection


class Injection(StrEnum):
    """How a request goes wrong."""

    #: An HTTP status that says no, in the vendor's own words.
    STATUS = "status"
    #: No answer ever comes (or none for `seconds`, then the connection closes).
    HANG = "hang"
    #: The connection is reset before an answer.
    RESET = "reset"
    #: The answer comes late.
    SLOW = "slow"
    #: The answer stops in the middle, as when the output cap is met.
    TRUNCATED = "truncated"
    #: The answer claims to be complete, but is not JSON.
    MALFORMED = "malformed"
    #: The model declines.
    REFUSAL = "refusal"
    #: The answer is empty.
    EMPTY = "empty"
    #: A proxy's HTML page, with status 200.
    HTML = "html"
    #: JSON that does not fit the schema.
    WRONG_SCHEMA = "wrong_schema"
    #: The response says how long it is, and breaks off in the middle.
    TORN = "torn"
    #: Of an answer about several episodes, the part of the first does not fit the schema; others are as they should be.
    SPOILED_PART = "spoiled_part"


#: Faults after which a model has run, so that the vendor bills.
AFTER_THE_MODEL = frozenset(
    {
        Injection.SLOW,
        Injection.TRUNCATED,
        Injection.MALFORMED,
        Injection.REFUSAL,
        Injection.EMPTY,
        Injection.WRONG_SCHEMA,
        Injection.SPOILED_PART,
        Injection.TORN,
    }
)

_REASONS = {
    400: Reason.BAD_REQUEST,
    401: Reason.WRONG_KEY,
    403: Reason.FORBIDDEN,
    404: Reason.MODEL_NOT_FOUND,
    429: Reason.RATE_LIMITED,
    503: Reason.OVERLOADED,
}


_EXPIRED = "expired"
#: Codes that say more than a status, whatever the vendor; the first is no code of anyone's and only chooses the reason.
_NAMED = {
    _EXPIRED: Reason.EXPIRED_KEY,
    "insufficient_quota": Reason.QUOTA_EXHAUSTED,
    "context_length_exceeded": Reason.CONTEXT_TOO_LONG,
}


class FaultRule(BaseModel):
    """One rule; a request that matches all of its conditions goes wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Injection
    #: For `status`: 400 to 599; absent means the vendor's own for the reason.
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    #: For `status`: which of the vendor's errors it is, such as an expired key or an empty purse; absent means the one
    #: that fits code and status best.
    reason: Reason | None = None
    #: For `status`: replaces the vendor's usual error code.
    code: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    #: For `status`: seconds that the response asks to wait.
    retry_after: Annotated[float, Field(ge=0)] | None = None
    #: For `slow` and `hang`: seconds.
    seconds: Annotated[float, Field(gt=0)] | None = None
    #: For faults that come instead of an answer, except `status`: the model had run when it happened, and its tokens
    #: are billed.
    billed: bool = False
    #: Only requests whose key has this fingerprint (`fingerprint(key)`, or `key` in the books); never a key itself.
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")] | None = None
    #: Only requests whose path starts so, such as `/openai/`. Faults of an answer strike what no model answers, such as
    #: the request for a token, only where this names it.
    prefix: str | None = None
    #: Only requests for this model.
    model: str | None = None
    #: Only requests at this cheaper tier, `flex` or `batch`: as when there is no room for it.
    tier: Literal["flex", "batch"] | None = None
    #: Only requests whose prompt has this text in it.
    text: Annotated[str, Field(min_length=1)] | None = None
    #: Share of the matching requests.
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    #: Requests that go wrong before the rule is used up; absent means until it is cleared.
    count: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind is Injection.STATUS) != (self.status is not None or self.reason is not None):
            raise ValueError("status and reason belong to kind 'status', and kind 'status' needs one of them")
        if self.kind is Injection.SLOW and self.seconds is None:
            raise ValueError("kind 'slow' needs seconds")
        return self

    def matches(
        self, *, key: str | None, path: str, model: str | None, text: str = "", tier: str | None = None
    ) -> bool:
        """Whether a request is meant."""
        return (
            (self.key is None or self.key == key)
            and (self.prefix is None or path.startswith(self.prefix))
            and (self.model is None or self.model == model)
            and (self.tier is None or self.tier == tier)
            and (self.text is None or self.text in text)
        )

    def rejection(self, model: str | None) -> Rejection:
        """The error of a `status` rule."""
        named = _NAMED.get(self.code or "")
        reason = self.reason or named or _REASONS.get(self.status or 0, Reason.SERVER_ERROR)
        code = None if self.code == _EXPIRED else self.code
        return Rejection(reason, model=model, code=code, status=self.status, retry_after=self.retry_after)


#: What is said in place of an answer.
_INSTEAD = {
    Injection.REFUSAL: ("I'm sorry, but I can't help with that.", Finish.REFUSED),
    Injection.EMPTY: ("", Finish.STOP),
    Injection.WRONG_SCHEMA: ('{"unexpected":{"simulated":true}}', Finish.STOP),
}


def spoil(kind: Injection, text: str) -> tuple[str, Finish]:
    """What becomes of an answer's text, and why the model says it stopped."""
    match kind:
        case Injection.TRUNCATED:
            return text[: len(text) // 2], Finish.LENGTH
        case Injection.MALFORMED:
            return f"Here is the JSON you asked for:\n{text[: -max(1, len(text) // 3)]}", Finish.STOP
        case Injection.SPOILED_PART:
            return _without_first_part(text), Finish.STOP
        case _:
            return _INSTEAD.get(kind, (text, Finish.STOP))


def spoil_body(kind: Injection, body: bytes) -> bytes:
    """What becomes of the body of a response that no model wrote."""
    match kind:
        case Injection.TRUNCATED | Injection.MALFORMED:
            return body[: len(body) // 2]
        case Injection.EMPTY:
            return b""
        case Injection.WRONG_SCHEMA:
            return _INSTEAD[kind][0].encode()
        case _:
            return body


def _without_first_part(text: str) -> str:
    answer = json.loads(text)
    if isinstance(answer, dict) and answer.get("episodes"):
        answer["episodes"][0] = {"episode": answer["episodes"][0].get("episode"), "simulated": True}
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


class Faults:
    """The rules in force, in the order in which they were added; the first that matches wins."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ids = count(1)
        self._rules: dict[int, tuple[FaultRule, int]] = {}

    def add(self, rule: FaultRule) -> int:
        """Put a rule in force; its id."""
        number = next(self._ids)
        self._rules[number] = (rule, 0)
        return number

    def draw(
        self, *, key: str | None, path: str, model: str | None, text: str = "", tier: str | None = None
    ) -> FaultRule | None:
        """The fault that this request meets, if any; a counted rule is used up by one."""
        for number, (rule, used) in self._rules.items():
            if not rule.matches(key=key, path=path, model=model, text=text, tier=tier):
                continue
            if rule.probability < 1 and self._rng.random() >= rule.probability:
                continue
            if rule.count is not None and used + 1 >= rule.count:
                del self._rules[number]
            else:
                self._rules[number] = (rule, used + 1)
            return rule
        return None

    def clear(self, number: int | None = None) -> bool:
        """Take one rule out of force, or all; whether there was one."""
        if number is not None:
            return self._rules.pop(number, None) is not None
        found = bool(self._rules)
        self._rules.clear()
        return found

    def __iter__(self) -> Iterator[tuple[int, FaultRule, int]]:
        """Id, rule, and how often it has struck."""
        return iter([(number, rule, used) for number, (rule, used) in self._rules.items()])
