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
#: What AWS's credentials begin with.
_AWS = re.compile(r"arn:|AKIA[A-Z0-9]{12,}$|ASIA[A-Z0-9]{12,}$|ABSK")
_ASSIGNMENT = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9]*_[A-Z0-9_]*\s*=\s*\S")
_PLACEHOLDER = re.compile(r"<.*>|\$\{?[A-Za-z_]+\}?|your[-_ ](?:\w+[-_ ])*key(?:[-_ ]here)?", re.IGNORECASE)


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
    if text.startswith(("{", "[")):
        document = "a service account's JSON, which is for --provider vertex" if '"client_email"' in text else "JSON"
        return f"is {document}; {kind} needs an API key: one word, without quotes or braces"
    if text.startswith("-----BEGIN"):
        return f"is a private key or a certificate; {kind} needs an API key"
    if _AWS.match(text):
        return f"is a credential of AWS, which is for --provider bedrock; {kind} needs an API key"
    if re.match(r"https?://", text):
        what = "the resource's KEY 1 (in the Azure portal: Keys and Endpoint)" if kind == "azure_openai" else "the key"
        return f"is an address, not a key; give {what} here, and the address with --base-url"
    if re.match(r"bearer\s", text, re.IGNORECASE):
        return "begins with 'Bearer'; leave that word out and give the key alone"
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`":
        return "stands in quotes; give the key without them"
    if _ASSIGNMENT.match(text):
        return "is a line of the form NAME=VALUE; give only what stands behind '='"
    if text.startswith("eyJ") and text.count(".") == 2 and kind == "azure_openai":  # noqa: PLR2004 - parts of a JWT
        return "is a sign-in token, which expires within the hour; give the resource's KEY 1 (Keys and Endpoint)"
    if _PLACEHOLDER.fullmatch(text):
        return "is a placeholder out of an example; give the key itself"
    if "…" in text or "..." in text or "***" in text or "•" in text:
        return "is a key as consoles show it, with its middle hidden; create a new key and copy it whole"
    return None
