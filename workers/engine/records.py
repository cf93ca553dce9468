"""What is written down of an attempt, and what its request is tagged with. Pure."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from config.prices import Cost
from tasks.contract import AttemptRecord
from workers.engine.outcome import Action, Decision
from workers.engine.trouble import Subject
from workers.extraction import Pack, prompt_tokens, text_tokens, tokens_saved
from workers.jobs import Dropped
from workers.providers.base import Call, Fault, Reply
from workers.providers.transport import Sent

#: What is done about a shared prompt that did not yield memories of all its episodes.
SPLIT: Final = "split"

_RETRIES = frozenset(Action) - {Action.FALL_BACK}

#: Status of an attempt that was under way, or about to be made, when its worker died: nobody knows what it came to.
LOST: Final = "lost"
#: Makes the id of such an attempt, so that it is written down once, whoever comes upon it.
_LOST_IDS: Final = uuid.UUID("6c1f0f4e-5a0b-4c83-9f0e-0d6b1c9b7a52")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one try came to, as far as its record is concerned."""

    #: None when the answer was good.
    decision: Decision | None
    #: Whether it is tried again in place.
    again: bool
    #: Whether what a shared prompt did not yield is asked about alone.
    split: bool = False
    #: Of a shared prompt: its episodes, and the input tokens that it saved.
    packed: int | None = None
    tokens_saved: int | None = None
    #: Estimated tokens of the episodes' own text, where they are known.
    estimated_text: int | None = None


def about(pack: Pack, done: Done, *, answer: Reply | Fault, yielded: Collection[int]) -> Done:
    """What a try came to, with what is known of its prompt.

    Args:
        pack: what was asked.
        done: what it came to.
        answer: what came.
        yielded: indexes of the units that it yielded memories of.
    """
    text = text_tokens(pack)
    if not pack.is_shared:
        return replace(done, estimated_text=text)
    taken = answer.usage.total - answer.usage.output
    is_free = isinstance(answer, Fault) and not taken
    saved = 0 if is_free else tokens_saved(pack, yielded, taken=taken)
    return replace(done, packed=len(pack.units), estimated_text=text, tokens_saved=saved)


def tags_of(subject: Subject, attempt: str) -> Mapping[str, str]:
    """What attribution needs of one call. The model is not among it: the request itself names it."""
    connection = subject.effective.connection
    # Ours last: no label may pass for another project.
    return {
        **connection.labels,
        **subject.job.labels,
        "project": subject.job.project,
        "provider": connection.provider.value,
        "role": connection.role.value,
        "job": subject.job_id,
        "attempt": attempt,
    }


def record_of(
    subject: Subject, call: Call, *, attempt: str, done: Done, sent: Sent, cost: Cost | None, started_at: datetime
) -> AttemptRecord:
    """The usage record of one call.

    Args:
        subject: the job and the connection.
        call: what was asked.
        attempt: `hop.unit.try`.
        done: what it came to.
        sent: the answer, with how long it took.
        cost: None where the price is not known.
        started_at: when the call was made.
    """
    connection, answer = call.connection, sent.answer
    return AttemptRecord(
        id=uuid.uuid4().hex,
        attempt=attempt,
        job_id=subject.job_id,
        account=subject.effective.account,
        project=subject.job.project,
        provider=connection.provider,
        connection=connection.name,
        role=connection.role,
        model=connection.model,
        served_model=answer.served_model,
        credential_version=call.credential.version if call.credential else None,
        status="ok" if done.decision is None else done.decision.code.value,
        action=_taken(done, subject),
        packed=done.packed,
        tokens_saved=done.tokens_saved,
        usage=answer.usage,
        estimated_input=prompt_tokens(call.prompt),
        estimated_text=done.estimated_text,
        cost_usd=None if cost is None else format(cost.usd, "f"),
        price=None if cost is None else cost.as_json(),
        # Of a call that nothing was billed for: what was asked.
        tier=answer.tier if isinstance(answer, Reply) or answer.usage.total else call.tier,
        latency_ms=round(sent.latency * 1000),
        queue_wait_ms=round(subject.waited * 1000),
        request_id=answer.request_id,
        labels={**connection.labels, **subject.job.labels},
        priority=subject.job.priority,
        started_at=started_at,
    )


def lost_of(
    subject: Subject, dropped: Dropped, *, parts: Iterable[int], records: Sequence[AttemptRecord]
) -> Iterator[AttemptRecord]:
    """The attempts that a dropped delivery may have made and not settled: one of each part that it had in hand.

    The vendor may have billed them. They have no tokens, since nobody was told; the numbers of attempts go on behind
    them, so that what the vendor knows by job and attempt is one call and not two.

    Args:
        subject: the job and the connection, of the delivery that comes after.
        dropped: the delivery.
        parts: indexes of those that are not done, in the order in which they are begun.
        records: all attempts of the job that are known.
    """
    known = {record.id for record in records}
    connection = subject.effective.connection
    for part in parts:
        prefix = f"{subject.route.hop}.{part}."
        made = [record for record in records if record.attempt.startswith(prefix)]
        name = uuid.uuid5(_LOST_IDS, f"{dropped.owner} {part}").hex
        if name in known or _came_to_rest(made, dropped):
            continue
        yield AttemptRecord(
            id=name,
            attempt=f"{prefix}{tries_of(made, prefix) + 1}",
            job_id=subject.job_id,
            account=subject.effective.account,
            project=subject.job.project,
            provider=connection.provider,
            connection=connection.name,
            role=connection.role,
            model=connection.model,
            status=LOST,
            action=Action.RETRY.value,
            latency_ms=0,
            labels={**connection.labels, **subject.job.labels},
            priority=subject.job.priority,
            started_at=dropped.since,
        )


def tries_of(records: Iterable[AttemptRecord], prefix: str) -> int:
    """The number of the last try of a part, 0 before the first.

    Args:
        records: attempts of its job.
        prefix: `hop.part.`, with which their names begin.
    """
    # Not how many there are: one that was taken for lost, and was settled after all, is there twice.
    return max((_number(record) for record in records if record.attempt.startswith(prefix)), default=0)


def _came_to_rest(made: Sequence[AttemptRecord], dropped: Dropped) -> bool:
    """Whether the last attempt of a part was one of this delivery, and none was to follow it."""
    last = max(made, key=_number, default=None)
    return last is not None and last.started_at >= dropped.since and last.action not in _GOING_ON


def _number(record: AttemptRecord) -> int:
    """Which try of its part an attempt was."""
    return int(record.attempt.rpartition(".")[2])


#: What was done about an attempt that another one follows.
_GOING_ON: Final = frozenset(action.value for action in _RETRIES) | {SPLIT}


def _taken(done: Done, subject: Subject) -> str:
    """What was done about a try."""
    if done.split:
        return SPLIT
    if done.decision is None:
        return "done"
    if done.again:
        return done.decision.action.value if done.decision.action in _RETRIES else Action.RETRY.value
    if subject.waits(done.decision.waits):
        return "wait"
    return "fail" if subject.last else Action.FALL_BACK.value
