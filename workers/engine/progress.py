"""What is done of a job, by the delivery that has it in hand and by those before it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from tasks.contract import AttemptRecord
from workers import extraction
from workers.engine.kept import read_kept
from workers.engine.records import SPLIT
from workers.engine.trouble import Subject, Trouble
from workers.jobs import Claimed


@dataclass(slots=True, kw_only=True)
class Progress:
    """Grows while a delivery works."""

    #: Unit index → its memories.
    extracted: dict[int, extraction.Extracted]
    records: list[AttemptRecord]
    #: Indexes of units whose memories are stored.
    kept: set[int]
    #: Unit index → why it has no memories yet.
    troubles: dict[int, Trouble] = field(default_factory=dict)

    @classmethod
    def of(cls, claimed: Claimed) -> Self:
        """What earlier deliveries left."""
        extracted = read_kept(claimed.units)
        return cls(extracted=extracted, records=list(claimed.attempts), kept=set(extracted))

    def packs(self, subject: Subject, units: Sequence[extraction.Unit]) -> Sequence[extraction.Pack]:
        """The calls that are left to make; units that shared a prompt in vain do not share one again."""
        split = {int(record.attempt.split(".")[1]) for record in self.records if record.action == SPLIT}
        return extraction.pack(
            subject.job,
            units,
            done=self.extracted,
            split=split,
            context_tokens=subject.model.context,
            max_output=subject.model.max_output,
        )
