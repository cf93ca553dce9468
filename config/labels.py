"""What each vendor's field for labels takes. Pure.

Two moments, one rule. A connection's labels are checked when it is saved: the user is there, and should find on the
vendor's invoice the very labels that they wrote. A job's labels come with the call, whatever its provider: they are
brought into the vendor's form, and left out where there is no room, for no label may cost the call.

Anthropic and compatible servers have no field for labels; there they go into usage records only, and any will do.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from config.errors import InvalidConnection
from tasks.contract import ProviderKind

#: Tags that every call carries beside the labels. They go first and are never left out or replaced by a label.
OWN_TAGS = ("project", "provider", "role", "job", "attempt")

#: Unicode categories of Google's rule: lower-case letters, letters without case, digits.
_GOOGLE_LETTERS, _GOOGLE_DIGITS = ("Ll", "Lo"), ("Nd", "Nl", "No")
_GOOGLE_LENGTH = 63

_BEDROCK_UNSAFE = re.compile(r"[^a-zA-Z0-9 :_@$#=/+,.-]")
_BEDROCK_LENGTH = 256


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


def _google_text(text: str) -> str:
    allowed = (*_GOOGLE_LETTERS, *_GOOGLE_DIGITS)
    normal = unicodedata.normalize("NFC", text).lower()[:_GOOGLE_LENGTH]
    return "".join(
        character if character in "_-" or unicodedata.category(character) in allowed else "_" for character in normal
    )


def _google_key(text: str) -> str:
    key = _google_text(text)
    begins_well = unicodedata.category(key[:1] or "_") in _GOOGLE_LETTERS
    return key if begins_well else f"l_{key}"[:_GOOGLE_LENGTH]


def _bedrock_text(text: str) -> str:
    return _BEDROCK_UNSAFE.sub("_", text)[:_BEDROCK_LENGTH]


#: `metadata` of the Responses API.
OPENAI_LABELS = LabelRule(
    words="keys of at most 64 and values of at most 512 characters",
    pairs=16,
    key=lambda text: text[:64],
    value=lambda text: text[:512],
)
#: `labels` of `generateContent`.
GOOGLE_LABELS = LabelRule(
    words="keys and values of at most 63 lower-case letters, digits, '_' and '-'; keys begin with a letter",
    pairs=64,
    key=_google_key,
    value=_google_text,
    # Google asks not to label with a value per request: each would be a line of its own on the customer's bill.
    unsent=frozenset({"job"}),
)
#: `requestMetadata` of Converse.
BEDROCK_LABELS = LabelRule(
    words="keys and values of at most 256 characters, which may be A-Z, a-z, 0-9, space and any of :_@$#=/+,-.",
    pairs=16,
    key=_bedrock_text,
    value=_bedrock_text,
)

_RULES: Mapping[ProviderKind, LabelRule] = {
    ProviderKind.OPENAI: OPENAI_LABELS,
    ProviderKind.AZURE_OPENAI: OPENAI_LABELS,
    ProviderKind.GEMINI: GOOGLE_LABELS,
    ProviderKind.VERTEX: GOOGLE_LABELS,
    ProviderKind.BEDROCK: BEDROCK_LABELS,
}


def check_labels(provider: ProviderKind, labels: Mapping[str, str], *, subject: str) -> None:
    """See that a connection's labels would reach its vendor as they are.

    Args:
        provider: the connection's.
        labels: the connection's, inherited ones included.
        subject: whose labels they are, for the message.

    Raises:
        InvalidConnection: they would not; says which, the vendor's rule, and what to write instead.
    """
    rule = _RULES.get(provider)
    if rule is not None and (found := "; ".join(rule.problems(labels))):
        raise InvalidConnection(
            f"{subject} has labels that {provider.value} does not take: {found}. It takes {rule.room} labels, with "
            f"{rule.words}"
        )
