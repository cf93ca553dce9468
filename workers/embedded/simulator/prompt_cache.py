"""The vendors' prompt cache: which part of an input is read from it, and which part is written to it."""

from collections import OrderedDict
from collections.abc import Callable

from workers.embedded.simulator.exchange import CachePlan, Question
from workers.embedded.simulator.tokens import count

#: Prefixes kept at most; the least recently used go first.
CAPACITY = 50_000


class PromptCache:
    """Prefixes per key and model, with a time to live that every read renews."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expiry: OrderedDict[tuple[str, str, int], float] = OrderedDict()

    def look(self, key: str, question: Question) -> tuple[int, int]:
        """Tokens of this question that are read from the cache, and tokens that are written to it."""
        plan = question.cache
        cached = written = 0
        for prefix, tokens in self._prefixes(plan, question):
            if tokens < plan.minimum:
                continue
            place = (key, question.model, hash(prefix))
            if self._expiry.get(place, 0.0) > self._clock():
                cached = tokens
                written = 0
            else:
                written = tokens - cached
            self._keep(place, plan.ttl)
        return cached, written if plan.counts_writes else 0

    def reset(self) -> None:
        """Forget all prefixes."""
        self._expiry.clear()

    @staticmethod
    def _prefixes(plan: CachePlan, question: Question) -> list[tuple[tuple[str, ...], int]]:
        prefixes: list[tuple[tuple[str, ...], int]] = []
        system = count(question.system)
        if plan.after_system:
            prefixes.append(((question.system,), system))
        if plan.after_user:
            prefixes.append(((question.system, question.user), system + count(question.user)))
        return prefixes

    def _keep(self, place: tuple[str, str, int], ttl: float) -> None:
        self._expiry[place] = self._clock() + ttl
        self._expiry.move_to_end(place)
        if len(self._expiry) > CAPACITY:
            self._expiry.popitem(last=False)

    def __len__(self) -> int:
        return len(self._expiry)
