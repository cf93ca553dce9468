"""What admission needs of a connection for every call, worked out once a day instead of once a call."""

from collections import OrderedDict
from dataclasses import dataclass, replace

from config.connections import EffectiveConnection
from workers.admission.budget import Counter, counters
from workers.admission.declared import Declared
from workers.admission.keys import MeterKeys, keys_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms on which a connection is used, on one day."""

    day: int
    #: Of the meter, then of the counters.
    keys: tuple[str, ...]
    #: As scripts read them.
    declared: str
    spends: tuple[Counter, ...]
    #: The terms of these counters, as scripts read them.
    caps: str
    #: Whether any of them is capped.
    capped: bool

    @classmethod
    def of(cls, effective: EffectiveConnection, day: int) -> "Terms":
        """Work them out; `day` counts from 1970, in UTC."""
        spends = counters(effective, day)
        return cls(
            day=day,
            keys=(*keys_of(effective), *(counter.key for counter in spends)),
            declared=Declared.of(effective.connection).text(),
            spends=spends,
            caps=" ".join(map(_words, spends)),
            capped=any(counter.cap is not None for counter in spends),
        )

    def uncounted(self) -> "Terms":
        """The same without counters of spend."""
        return replace(self, keys=self.keys[: len(MeterKeys._fields)], spends=(), caps="")


def _words(counter: Counter) -> str:
    cap = "-" if counter.cap is None else str(counter.cap)
    return f"{cap} {counter.ends} {counter.kept} {'fail' if counter.fails else 'wait'}"


class TermsBook:
    """Keeps the terms of the connections that were used last."""

    def __init__(self, *, entries: int = 1_000) -> None:
        self._entries = entries
        # By identity: a connection that was read again is another one. Kept with the connection itself, so that no
        # other can take over its identity.
        self._known: OrderedDict[int, tuple[EffectiveConnection, Terms]] = OrderedDict()

    def of(self, effective: EffectiveConnection, day: int) -> Terms:
        """The terms of a connection on a day."""
        known = self._known.get(id(effective))
        if known is not None and known[1].day == day:
            self._known.move_to_end(id(effective))
            return known[1]
        terms = Terms.of(effective, day)
        self._known[id(effective)] = (effective, terms)
        if len(self._known) > self._entries:
            self._known.popitem(last=False)
        return terms
