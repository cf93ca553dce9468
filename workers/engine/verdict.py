"""What an answer comes to: memories, a fault, or some of both where several episodes shared the prompt. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.contract import ExtractionJob
from workers import extraction
from workers.engine.outcome import Scope, decide
from workers.providers.base import Fault, FaultKind, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to believe of one answer."""

    #: Unit index → its memories.
    extracted: Mapping[int, extraction.Extracted] = field(default_factory=dict)
    #: Why there are none, or not all; None when nothing is wrong.
    fault: Fault | None = None
    #: The same, for a reminder to the model.
    reason: str = ""
    #: Whether what is not there is to be asked about alone: several episodes shared the prompt, and one of them, or the
    #: company of the others, is what went wrong.
    split: bool = False


def judge(pack: extraction.Pack, job: ExtractionJob, answer: Reply | Fault) -> Verdict:
    """Check an answer.

    Args:
        pack: what was asked.
        job: the job that it is part of.
        answer: what came.
    """
    if pack.is_shared and not (isinstance(answer, Fault) and decide(answer).scope is Scope.CONNECTION):
        return _judge_shared(pack, job, answer)
    if isinstance(answer, Fault):
        return Verdict(fault=answer, reason=answer.message)
    checked = extraction.check(pack.units[0], job, answer.text)
    if isinstance(checked, extraction.Extracted):
        return Verdict(extracted={pack.index: checked})
    return Verdict(fault=_unusable(answer, checked.kind, checked.reason), reason=checked.reason)


def _judge_shared(pack: extraction.Pack, job: ExtractionJob, answer: Reply | Fault) -> Verdict:
    judged = extraction.check_pack(pack, job, answer.text)
    extracted = {index: one for index, one in judged.items() if isinstance(one, extraction.Extracted)}
    if len(extracted) == len(judged):
        return Verdict(extracted=extracted)
    reason = next(one.reason for one in judged.values() if isinstance(one, extraction.Unusable))
    fault = answer if isinstance(answer, Fault) else _unusable(answer, FaultKind.MALFORMED, reason)
    return Verdict(extracted=extracted, fault=fault, split=True)


def _unusable(answer: Reply, kind: FaultKind, reason: str) -> Fault:
    return Fault(
        kind=kind,
        message=f"The model's answer is not usable: {reason}.",
        usage=answer.usage,
        request_id=answer.request_id,
        served_model=answer.served_model,
        limits=answer.limits,
    )
