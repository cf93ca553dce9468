"""The vendors' prompt cache: which part of an input is read from it, and which part is written to it."""

from collections import OrderedDict
from collections.abc import Callable

from workers.embedded.simulator.exchange import Question
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
        cached = longest = 0
        for prefix, tokens in _prefixes(question):
            longest = tokens
            if self._expiry.get((key, question.model, prefix), 0.0) > self._clock():
                cached = tokens
        return cached, longest - cached if plan.counts_writes else 0

    def keep(self, key: str, question: Question) -> None:
        """Write what was not there, and renew what was read."""
        expiry = self._clock() + question.cache.ttl
        for prefix, _ in _prefixes(question):
            place = (key, question.model, prefix)
            self._expiry[place] = expiry
            self._expiry.move_to_end(place)
            if len(self._expiry) > CAPACITY:
                self._expiry.popitem(last=False)

    def reset(self) -> None:
        """Forget all prefixes."""
        self._expiry.clear()


def _prefixes(question: Question) -> list[tuple[int, int]]:
    """Hash and tokens of every cacheable prefix, shortest first."""
    plan = question.cache
    tokens = count(question.system)
    prefixes: list[tuple[int, int]] = []
    if plan.after_system and tokens >= plan.minimum:
        prefixes.append((hash(question.system), tokens))
    tokens += count(question.user)
    if plan.after_user and tokens >= plan.minimum:
        prefixes.append((hash((question.system, question.user)), tokens))
    return prefixes
