"""API keys: one word that goes into a header. Pure; nothing here quotes the key."""

import re

from tasks.contract import ProviderKind

#: How keys begin that can only be one vendor's → whose they are, and the provider that they belong to.
_VENDORS: tuple[tuple[str, str, ProviderKind], ...] = (
    ("sk-ant-", "an Anthropic key", ProviderKind.ANTHROPIC),
    ("sk-proj-", "an OpenAI key", ProviderKind.OPENAI),
    ("sk-svcacct-", "an OpenAI key", ProviderKind.OPENAI),
    ("AIza", "a Google API key", ProviderKind.GEMINI),
)
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
_SIGN_IN_TOKEN = re.compile(r"eyJ[^.]*\.[^.]*\.[^.]*")


def api_key_problem(text: str, *, provider: ProviderKind, own_server: bool) -> str | None:
    """Why a text cannot be an API key of a provider, with the mend; arguments as of `credential_problem`."""
    kind = provider.value
    if problem := _other_thing(text, kind):
        return problem
    if not (text.isascii() and text.isprintable() and " " not in text):
        return f"holds spaces, line breaks or unusual characters, which no {kind} key has; put the key there alone"
    if own_server:
        return None
    if provider is ProviderKind.OPENAI and text.startswith("sk-admin-"):
        return "is an admin key of OpenAI, which cannot call models; create a project key (sk-proj-…) instead"
    for start, words, owner in _VENDORS:
        if text.startswith(start) and owner is not provider:
            return f"is {words}, and the provider is {kind}; give a key of {kind}, or --provider {owner.value}"
    return None


def _other_thing(text: str, kind: str) -> str | None:
    """What was pasted that is no key at all."""
    is_azure = kind == ProviderKind.AZURE_OPENAI
    if is_azure and _SIGN_IN_TOKEN.fullmatch(text):
        return "is a sign-in token, which expires within the hour; give the resource's KEY 1 (Keys and Endpoint)"
    key = "the resource's KEY 1 (in the Azure portal: Keys and Endpoint)" if is_azure else "the key"
    words = next((words for pattern, words in _OTHER_THINGS if pattern.match(text)), None)
    return None if words is None else words.format(kind=kind, key=key)
