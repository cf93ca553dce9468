"""What a vendor's field for labels takes; each kind of provider declares its own rule. Pure.

Two moments, one rule. A connection's labels are checked when it is saved: the user is there, and should find on the
vendor's invoice the very labels that they wrote. A job's labels come with the call, whatever its provider: they are
brought into the vendor's form, and left out where there is no room, for no label may cost the call.

Where a vendor has no field for labels, they go into usage records only, and any will do.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

#: Tags that every call carries beside the labels. They go first and are never left out or replaced by a label.
OWN_TAGS = ("project", "provider", "role", "job", "attempt")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """What one vendor's field takes, and how text is brought into that form; text that fits stays as it is."""

    #: What keys and values may be, for people.
    words: str
    #: Labels and our own tags together.
    pairs: int
    key: Callable[[str], str]
    value: Callable[[str], str]
    #: Tags of ours that this vendor is not sent.
    unsent: frozenset[str] = frozenset()

    @property
    def room(self) -> int:
        """How many labels there is room for beside our own tags."""
        return self.pairs - len(set(OWN_TAGS) - self.unsent)

    def fit(self, tags: Mapping[str, str]) -> dict[str, str]:
        """A call's tags as the vendor takes them: ours first, then in their order as many as there is room for."""
        fitted: dict[str, str] = {}
        for name in sorted(tags, key=lambda name: name not in OWN_TAGS):
            key = self.key(name)
            if key and key not in self.unsent and len(fitted) < self.pairs:
                fitted.setdefault(key, self.value(tags[name]))
        return fitted

    def problems(self, labels: Mapping[str, str]) -> Iterator[str]:
        """Why labels would not arrive as they are, each with its mend."""
        if len(labels) > self.room:
            yield f"there are {len(labels)} labels; leave out {len(labels) - self.room}"
        for name, value in labels.items():
            key = self.key(name)
            if key in OWN_TAGS:
                free = self.key(f"label-{name}")
                yield f"label '{name}' has the name of a tag that every call carries; write '{free}' instead"
            elif key != name:
                yield f"label '{name}' does not fit; write '{key}' instead"
            if (spelling := self.value(value)) != value:
                yield f"the value of label '{name}' does not fit; write '{spelling}' instead"
