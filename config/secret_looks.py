"""Whether text looks like a secret, so that none is kept, shown or checked in where only names belong. Pure.

No rule finds every secret. These find what vendors mark as theirs, and long runs of characters that nobody types.
"""

import re
from collections.abc import Iterator
from typing import Any

#: What a vendor's secret looks like → what it is, for people. The first that fits names it.
_KINDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?<![A-Za-z0-9]){pattern}"), words)
    for pattern, words in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY", "a private key"),
        (r"sk-ant-[A-Za-z0-9_-]{6,}", "an Anthropic key"),
        (r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{6,}", "an OpenAI key"),
        # Old keys, and those of gateways; a name in words has no three digits.
        (r"sk-(?=(?:[A-Za-z_-]*[0-9]){3})[A-Za-z0-9_-]{12,}", "an API key"),
        (r"AIza[A-Za-z0-9_-]{12,}", "a Google API key"),
        (r"(?:AKIA|ASIA)[A-Z0-9]{12,}", "an AWS access key"),
        (r"ABSK[A-Za-z0-9+/=]{16,}", "a Bedrock API key"),
        (r"ya29\.[A-Za-z0-9_-]{8,}", "a Google access token"),
        (r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}", "an access token"),
    )
)
#: A run of letters and digits of all three kinds, longer than names, ids and hosts are.
_RUN = re.compile(r"[A-Za-z0-9+/=]{40,}")
#: One key of 128 bits in hexadecimal, such as Azure gives; fine as a label's value or a project's id, odd as the name
#: of a credential.
_HEX = re.compile(r"[0-9a-f]{32}")
#: Fields in which people put secrets, `-` and `_` aside.
_FIELDS = frozenset(
    {
        "accesskey",
        "accesskeyid",
        "apikey",
        "apitoken",
        "clientsecret",
        "key",
        "passphrase",
        "password",
        "privatekey",
        "secret",
        "secretaccesskey",
        "secretkey",
        "serviceaccount",
        "sessiontoken",
        "token",
    }
)


def secret_kind(text: str, *, name: bool = False) -> str | None:
    """What secret a text looks like, such as `an OpenAI key`; None when it looks like none.

    Args:
        text: any text.
        name: it stands where the name of a secret does, so that a key in hexadecimal is out of place, too.
    """
    known = next((words for pattern, words in _KINDS if pattern.search(text)), None)
    if known is not None:
        return known
    runs = (*_RUN.findall(text), *(_HEX.findall(text) if name else ()))
    return "a key" if any(_is_mixed(run) or _HEX.fullmatch(run) for run in runs) else None


def secrets_in(document: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Where in a JSON-like document there is something that looks like a secret: (dotted path, what it looks like).

    The path never shows a key that looks like a secret itself: it says `?`.
    """
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _in_entry(str(key), value, path)
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from secrets_in(value, (*path, str(index)))
    elif isinstance(document, str) and (kind := secret_kind(document, name=path[-1:] == ("credential",))):
        yield ".".join(path), kind


def _in_entry(key: str, value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    # A label may well be called `key`.
    is_field = path[-1:] != ("labels",) and key.lower().replace("-", "").replace("_", "") in _FIELDS
    if kind := secret_kind(key):
        yield ".".join((*path, "?")), kind
    elif is_field and isinstance(value, str):
        yield ".".join((*path, key)), "a secret, by the name of its field"
    else:
        yield from secrets_in(value, (*path, key))


def _is_mixed(run: str) -> bool:
    return all(re.search(kind, run) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
