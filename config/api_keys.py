"""API keys: one word that goes into a header. Pure; nothing here quotes the key."""

import re

from config.headers import fits_header
from config.kinds import KINDS, Kind

#: What was pasted that is no key at all → what to say; the first that fits. `{kind}` is the provider.
_OTHER_THINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, flags), words)
    for pattern, flags, words in (
        (
            r'[\[{].*"client_email"',
            re.DOTALL,
            "is a service account's JSON, which is for --provider vertex; {kind} needs an API key, which is one word",
        ),
        (r"[\[{]", 0, "is JSON; {kind} needs an API key, which is one word without quotes or braces"),
        (r"-----BEGIN", 0, "is a private key or a certificate; {kind} needs an API key"),
        (
            r"arn:|AKIA[A-Z0-9]{12,}$|ASIA[A-Z0-9]{12,}$|ABSK",
            0,
            "is a credential of AWS, which is for --provider bedrock; {kind} needs an API key",
        ),
        (r"https?://", 0, "is an address, not a key; give {key} here, and the address with --base-url"),
        (r"bearer\s", re.IGNORECASE, "begins with 'Bearer'; leave that word out and give the key alone"),
        (r"""(["'`]).*\1$""", re.DOTALL, "stands in quotes; give the key without them"),
        (
            r"(?:export\s+)?[A-Z][A-Z0-9]*_[A-Z0-9_]*\s*=\s*\S",
            0,
            "is a line of the form NAME=VALUE; give only what stands behind '='",
        ),
        (
            r"(?:<.*>|\$\{?[A-Za-z_]+\}?|your[-_ ](?:\w+[-_ ])*key(?:[-_ ]here)?)$",
            re.IGNORECASE,
            "is a placeholder out of an example; give the key itself",
        ),
        (
            r".*(?:…|\.\.\.|\*\*\*|•)",
            0,
            "is a key as consoles show it, with its middle hidden; create a new key and copy it whole",
        ),
    )
)


def api_key_problem(text: str, *, kind: Kind, own_server: bool) -> str | None:
    """Why a text cannot be an API key of a kind of provider, with the mend.

    Args:
        text: as the user gave it.
        kind: whose key it is to be.
        own_server: as of `credential_problem`.
    """
    name = kind.provider.value
    if words := next((words for pattern, words in _OTHER_THINGS if pattern.match(text)), None):
        return words.format(kind=name, key=kind.key_words)
    if not fits_header(text):
        return f"holds spaces, line breaks or unusual characters, which no {name} key has; put the key there alone"
    if own_server:
        return None
    if words := next((words for pattern, words in kind.useless_keys.items() if pattern.match(text)), None):
        return words
    for other in KINDS.values():
        words = next((words for start, words in other.own_keys.items() if text.startswith(start)), None)
        if words and other is not kind:
            return f"is {words}, and the provider is {name}; give a key of {name}, or --provider {other.provider.value}"
    return None
