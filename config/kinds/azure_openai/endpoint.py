"""Azure's two most frequent mistakes: the wrong URL, and a deployment whose name is not the model's id. Pure."""

import re
from urllib.parse import SplitResult, urlsplit

#: Why Azure answers that a deployment does not exist although it does.
DEPLOYMENT_RULE = "the deployment's name must equal the model's id (gpt-4.1-mini, not my-gpt-deployment)"

_RESOURCE = re.compile(
    r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\.(?:openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com)"
)
#: What Azure's own samples put behind the base URL.
_API_ROOT = re.compile(r"/?|/openai(?:/v1)?/?")
_DEPLOYMENT = re.compile(r"/openai/deployments/([A-Za-z0-9._-]{1,64})(?:/|$)")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def check_azure_endpoint(url: str) -> str:
    """The base URL of an Azure OpenAI resource, with a slash at its end.

    Args:
        url: as the user gave it. A trailing `openai/v1` is taken off. A server on this machine, such as the
            simulator, may have any path.

    Raises:
        ValueError: it is something else, mostly the Target URI; says what to paste instead.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, port, parts = "", None, SplitResult("", "", "", "", "")
    bare = parts.username is None and not parts.query and not parts.fragment
    if host in _LOOPBACK and bare and parts.scheme in {"http", "https"}:
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"
    if not _RESOURCE.fullmatch(host):
        raise ValueError(
            "base_url is not the endpoint of an Azure OpenAI resource; paste the resource's base URL, such as "
            "https://NAME.openai.azure.com/ (in the Azure portal: the resource, Keys and Endpoint)"
        )
    base = f"https://{host}/"
    if bare and parts.scheme == "https" and port in {None, 443} and _API_ROOT.fullmatch(parts.path):
        return base
    deployment = _DEPLOYMENT.match(parts.path)
    what = "a deployment's Target URI" if deployment else "not the resource's base URL alone"
    model = f" and give '{deployment[1]}', the deployment's name, as the model" if deployment else ""
    raise ValueError(f"base_url is {what}; paste {base} instead{model}")
