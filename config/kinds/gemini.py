"""Gemini API (AI Studio), with an API key."""

import re
import unicodedata

from config.kinds.base import Kind
from config.labels import LabelRule
from tasks.contract import ProviderKind

#: Unicode categories of Google's rule: lower-case letters, letters without case, digits.
_LETTERS, _DIGITS = ("Ll", "Lo"), ("Nd", "Nl", "No")
_LENGTH = 63


def _fitting(text: str) -> str:
    allowed = (*_LETTERS, *_DIGITS)
    normal = unicodedata.normalize("NFC", text).lower()[:_LENGTH]
    return "".join(
        character if character in "_-" or unicodedata.category(character) in allowed else "_" for character in normal
    )


def _fitting_key(text: str) -> str:
    key = _fitting(text)
    begins_well = unicodedata.category(key[:1] or "_") in _LETTERS
    return key if begins_well else f"l_{key}"[:_LENGTH]


#: `labels` of `generateContent`.
LABELS = LabelRule(
    words="keys and values of at most 63 lower-case letters, digits, '_' and '-'; keys begin with a letter",
    pairs=64,
    key=_fitting_key,
    value=_fitting,
    # Google asks not to label with a value per request: each would be a line of its own on the customer's bill.
    unsent=frozenset({"job"}),
)

KIND = Kind(
    provider=ProviderKind.GEMINI,
    vendor="Gemini",
    telemetry_name="gcp.gemini",
    settings=frozenset({"base_url"}),
    required={},
    place=None,
    hosts=re.compile(r"generativelanguage\.googleapis\.com"),
    public_url="https://generativelanguage.googleapis.com",
    versioned_url=False,
    any_host=False,
    endpoint=None,
    needs_credential=True,
    credential_problem=None,
    own_keys={"AIza": "a Google API key"},
    likely_keys={"AIza": "a Gemini key"},
    useless_keys={},
    key_words="the key",
    key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    free_models=False,
    deployments=None,
    model_problem=None,
    prices="google",
    flex_as_batch=True,
    free_cache_reads=False,
    sets_cap_aside=False,
    labels=LABELS,
)
