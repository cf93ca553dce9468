"""The classic mistakes with Azure, Vertex AI and Bedrock: each is refused, and the answer says what to give instead."""

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from config.store import FileStore
from tests.google import key_file
from tests.unit.cli.conftest import Byom

CANARY = "canary7d0c1a55e2Q"
ROLE = "arn:aws:iam::123456789012:role/byom"
STATIC = {"access_key_id": "AKIACANARY0000000001", "secret_access_key": f"{CANARY}/secret"}


class Mistake(NamedTuple):
    """A command line, what it is given as the key, and a part of the answer."""

    what: str
    secret: str
    mend: str
    options: tuple[str, ...] = ()


def service_account(**changes: Any) -> str:
    return key_file(**changes)


AZURE = (
    Mistake(
        "the Target URI as the endpoint",
        CANARY,
        "paste https://acme.openai.azure.com/ instead and give 'gpt-6-luna', the deployment's name, as the model",
        (
            "--base-url",
            "https://acme.openai.azure.com/openai/deployments/gpt-6-luna/chat/completions?api-version=2024-10-21",
        ),
    ),
    Mistake(
        "a path behind the endpoint",
        CANARY,
        "paste https://acme.openai.azure.com/ instead",
        ("--base-url", "https://acme.openai.azure.com/openai/responses"),
    ),
    Mistake(
        "no endpoint", CANARY, "base_url is required for azure_openai: the resource's endpoint", ("--base-url", "")
    ),
    Mistake(
        "the portal's page as the endpoint",
        CANARY,
        "paste the resource's base URL, such as https://NAME.openai.azure.com/",
        ("--base-url", "https://portal.azure.com/"),
    ),
    Mistake(
        "OpenAI's own address",
        CANARY,
        "paste the resource's base URL",
        ("--base-url", "https://api.openai.com/v1"),
    ),
    Mistake("http instead of https", CANARY, "paste https://acme", ("--base-url", "http://acme.openai.azure.com/")),
    Mistake(
        "a deployment that is not named like its model",
        CANARY,
        "the deployment's name must equal the model's id (gpt-4.1-mini, not my-gpt-deployment)",
        ("--model", "my-gpt-deployment"),
    ),
    Mistake("the endpoint as the key", "https://acme.openai.azure.com/", "give the resource's KEY 1"),
    Mistake("a sign-in token as the key", f"eyJ0eXAi.{CANARY}.{CANARY}", "give the resource's KEY 1"),
    Mistake("OpenAI's key", f"sk-proj-{CANARY}", "give a key of azure_openai, or --provider openai"),
    Mistake("the key in quotes", f'"{CANARY}"', "give the key without them"),
    Mistake("a line of a .env file", f"AZURE_OPENAI_API_KEY={CANARY}", "give only what stands behind '='"),
    Mistake("a header instead of the key", f"Bearer {CANARY}", "leave that word out"),
    Mistake("the key as the portal hides it", f"{CANARY[:4]}********", "create a new key and copy it whole"),
    Mistake(
        "a setting of OpenAI", CANARY, "organization is not a setting of azure_openai", ("--organization", "org-1")
    ),
)
VERTEX = (
    Mistake("an API key", f"AIzaSy{CANARY}", "Use --provider gemini with this key, or create one"),
    Mistake("the path of the file", "/home/ada/service-account.json", "give what it holds, with --key-file PATH"),
    Mistake("no JSON", CANARY, "Vertex AI needs a service account's key file"),
    Mistake("half a file", service_account()[:-80], "cut off or changed"),
    Mistake("base64", base64.b64encode(service_account().encode()).decode(), "decode it first"),
    Mistake("the private key alone", json.loads(service_account())["private_key"], "needs the whole JSON file"),
    Mistake("an access token", f"ya29.{CANARY}", "Vertex AI needs a service account's JSON"),
    Mistake(
        "an OAuth client",
        json.dumps({"installed": {"client_id": "1.apps.googleusercontent.com", "client_secret": CANARY}}),
        "is an OAuth client, which lets people sign in",
    ),
    Mistake(
        "an OAuth client of a web page",
        json.dumps({"web": {"client_id": "1.apps.googleusercontent.com", "client_secret": CANARY}}),
        "is an OAuth client",
    ),
    Mistake(
        "one's own login",
        json.dumps({"type": "authorized_user", "client_secret": CANARY, "refresh_token": CANARY}),
        "is your own login (gcloud auth application-default login)",
    ),
    Mistake(
        "a federation",
        json.dumps({"type": "external_account", "token_url": "https://collector.example/", "audience": CANARY}),
        "is a workload identity federation's configuration",
    ),
    Mistake("another type", service_account(type="service-account"), "is no key file"),
    Mistake("no client_email", service_account(client_email=None), "lacks client_email; give the whole file"),
    Mistake("no private_key", service_account(private_key=None), "lacks private_key; give the whole file"),
    Mistake("neither", service_account(private_key=None, client_email=None), "lacks client_email and private_key"),
    Mistake("no project_id", service_account(project_id=None), "lacks project_id"),
    Mistake(
        "a token_uri that collects",
        service_account(token_uri="https://collector.example/token"),
        "names a token_uri other than https://oauth2.googleapis.com/token",
    ),
    Mistake("no token_uri", service_account(token_uri=None), "names a token_uri other than"),
    Mistake("another cloud", service_account(universe_domain="apis-tpczero.goog"), "belongs to another cloud"),
    Mistake(
        "line breaks that a shell ate",
        service_account(private_key=json.loads(service_account())["private_key"].replace("\n", "\\n")),
        "give the file as it is, with --key-file",
    ),
    Mistake("a cut private key", service_account(private_key=f"-----BEGIN PRIVATE KEY-----\n{CANARY}"), "is cut off"),
    Mistake("AWS's spelling of a location", service_account(), "write us-central1", ("--location", "us-central-1")),
    Mistake("a zone", service_account(), "is a zone; write its region, us-central1", ("--location", "us-central1-a")),
    Mistake("a location in capitals", service_account(), "write europe-west4", ("--location", "EUROPE-WEST4")),
    Mistake(
        "no location at all", service_account(), "write us-central1, europe-west4 or global", ("--location", "Paris!")
    ),
    Mistake(
        "the model's whole path",
        service_account(),
        "did you mean gemini-3.5-flash-lite?",
        ("--model", "publishers/google/models/gemini-3.5-flash-lite"),
    ),
    Mistake(
        "the model's display name", service_account(), "did you mean gemini-3.5-f", ("--model", "Gemini 3.5 Flash-Lite")
    ),
    Mistake(
        "Gemini's address",
        service_account(),
        "set provider to gemini",
        ("--base-url", "https://generativelanguage.googleapis.com"),
    ),
    Mistake(
        "an address elsewhere than the location",
        service_account(),
        "set location to europe-west4",
        ("--base-url", "https://europe-west4-aiplatform.googleapis.com"),
    ),
    Mistake("labels in capitals", service_account(), "write 'team' instead", ("--label", "Team=core")),
)
BEDROCK = (
    Mistake("no ARN", "byom-role", "give the ARN of a role, such as arn:aws:iam::ACCOUNT:role/NAME"),
    Mistake("half an ARN", "arn:aws:iam:123456789012:role/byom", "is not a whole ARN"),
    Mistake("a user", "arn:aws:iam::123456789012:user/ada", "create a role whose trust policy names this worker"),
    Mistake("an account", "arn:aws:iam::123456789012:root", "is the ARN of a whole account"),
    Mistake("an account's number", "123456789012", "is an account's number"),
    Mistake("a policy", "arn:aws:iam::123456789012:policy/byom", "attach it to a role"),
    Mistake(
        "an instance profile",
        "arn:aws:iam::123456789012:instance-profile/byom",
        "give the ARN of the role in it",
    ),
    Mistake("a session", "arn:aws:sts::123456789012:assumed-role/byom/ada", "give the ARN of the role behind it"),
    Mistake("a model", "arn:aws:bedrock:us-east-1::foundation-model/x", "is an ARN, but not one of IAM"),
    Mistake("a partition that AWS lacks", "arn:amazon:iam::123456789012:role/byom", "it is mostly 'aws'"),
    Mistake("China's partition", "arn:aws-cn:iam::123456789012:role/byom", "Bedrock is not offered"),
    Mistake("another partition", "arn:aws-us-gov:iam::123456789012:role/byom", "set the connection's region to one"),
    Mistake("the partition of elsewhere", ROLE, "is of aws-us-gov", ("--region", "us-gov-west-1")),
    Mistake("a space in the role's name", f"{ROLE} worker", "has a role name with a space in it"),
    Mistake("a role's name that none has", f"{ROLE}*", "64 letters, digits"),
    Mistake("a number that is none", "arn:aws:iam::1234:role/byom", "no account number of 12 digits"),
    Mistake("a region in the ARN", "arn:aws:iam:us-east-1:123456789012:role/byom", "has a region in it"),
    Mistake("an access key's id alone", "AKIACANARY0000000001", "is an access key's id without its secret"),
    Mistake("a Bedrock API key", f"ABSK{CANARY}", "is a Bedrock API key"),
    Mistake(
        "AWS's credentials file",
        f"[default]\naws_access_key_id = AKIACANARY0000000001\naws_secret_access_key = {CANARY}",
        "is AWS's credentials file",
    ),
    Mistake(
        "what the console downloads", f"Access key ID,Secret access key\nAKIACANARY0000000001,{CANARY}", "is the table"
    ),
    Mistake(
        "what AWS's tools print",
        json.dumps({"AccessKey": {"AccessKeyId": "AKIACANARY0000000001", "SecretAccessKey": CANARY}}),
        'write it as {"access_key_id": …, "secret_access_key": …}',
    ),
    Mistake(
        "keys in AWS's spelling", json.dumps({"aws_access_key_id": "A", "aws_secret_access_key": CANARY}), "write it as"
    ),
    Mistake("no secret key", json.dumps({"access_key_id": "AKIACANARY0000000001"}), "lacks secret_access_key"),
    Mistake("a field too many", json.dumps(STATIC | {"region": "us-east-1"}), "is JSON with 1 fields that static keys"),
    Mistake("a number as the secret", json.dumps(STATIC | {"secret_access_key": 7}), "has values that are not text"),
    Mistake(
        "a key's id that is none", json.dumps(STATIC | {"access_key_id": "ada"}), "has an access_key_id that is none"
    ),
    Mistake(
        "a secret of two lines",
        json.dumps(STATIC | {"secret_access_key": f"{CANARY}\n{CANARY}"}),
        "has a secret_access_key with spaces, line breaks",
    ),
    Mistake(
        "a temporary key without its token",
        json.dumps(STATIC | {"access_key_id": "ASIACANARY0000000001"}),
        "without its session_token",
    ),
    Mistake("JSON that is none", f'{{"access_key_id": {CANARY}', "begins like JSON and is none"),
    Mistake("a service account", service_account(), "which is for --provider vertex"),
    Mistake("Google's spelling of a region", ROLE, "write us-east-1", ("--region", "us-east1")),
    Mistake("an availability zone", ROLE, "write its region, us-east-1", ("--region", "us-east-1a")),
    Mistake("a region's name", ROLE, "write its code, such as us-east-1", ("--region", "US East (N. Virginia)")),
    Mistake("a region in capitals", ROLE, "write eu-central-1", ("--region", "EU-CENTRAL-1")),
    Mistake(
        "a profile of Europe from the default region",
        ROLE,
        "set region to one that begins with eu-, or take global.anthropic.claude-haiku-5-5",
        ("--model", "eu.anthropic.claude-haiku-5-5"),
    ),
    Mistake(
        "a model without its profile", ROLE, "did you mean global.anthropic", ("--model", "anthropic.claude-haiku-5-5")
    ),
    Mistake(
        "the address for administration",
        ROLE,
        "paste https://bedrock-runtime.us-east-1.amazonaws.com instead",
        ("--base-url", "https://bedrock.us-east-1.amazonaws.com"),
    ),
    Mistake(
        "an address of another region",
        ROLE,
        "set region to eu-west-1",
        ("--base-url", "https://bedrock-runtime.eu-west-1.amazonaws.com"),
    ),
    Mistake("an external id that AWS does not take", ROLE, "external_id", ("--external-id", "two words")),
    Mistake("a label that Bedrock does not take", ROLE, "write 'a_b' instead", ("--label", "team=a&b")),
)
#: Provider → what is right, which a mistake then replaces in part.
RIGHT = {
    "azure_openai": {"--model": "gpt-6-luna", "--base-url": "https://acme.openai.azure.com/"},
    "vertex": {"--model": "gemini-3.5-flash-lite"},
    "bedrock": {"--model": "global.anthropic.claude-haiku-5-5"},
}
ALL = [
    pytest.param(provider, mistake, id=f"{provider}: {mistake.what}")
    for provider, mistakes in (("azure_openai", AZURE), ("vertex", VERTEX), ("bedrock", BEDROCK))
    for mistake in mistakes
]


def command(provider: str, mistake: Mistake) -> tuple[str, ...]:
    changes = dict(zip(mistake.options[::2], mistake.options[1::2], strict=True))
    options = {**RIGHT[provider], **changes}
    given = (word for option, value in options.items() if value for word in (option, value))
    return ("connection", "add", "-p", "acme", "--no-verify", "--provider", provider, *given, "--key-file", "key")


@pytest.mark.parametrize(("provider", "mistake"), ALL)
def test_a_mistake_is_refused_with_the_mend_and_leaves_nothing_behind(
    byom: Byom, home: Path, provider: str, mistake: Mistake
) -> None:
    (home / "key").write_text(mistake.secret, encoding="utf-8")

    result = byom(*command(provider, mistake))
    as_json = byom(*command(provider, mistake), "--json")

    assert (result.exit_code, result.stdout) == (2, "")
    assert mistake.mend in result.stderr
    assert mistake.mend in json.loads(as_json.stderr)["error"]["message"]
    assert CANARY not in result.output
    assert len(result.stderr.splitlines()) == 1
    assert not (home / ".byom").exists()


@pytest.mark.parametrize(
    ("provider", "secret"),
    [
        ("azure_openai", "0123456789abcdef0123456789abcdef"),
        ("vertex", service_account()),
        ("vertex", json.dumps(json.loads(service_account()), indent=2)),
        ("bedrock", ROLE),
        ("bedrock", "arn:aws:iam::123456789012:role/teams/core/byom"),
        ("bedrock", json.dumps(STATIC)),
        ("bedrock", json.dumps(STATIC | {"access_key_id": "ASIACANARY0000000001", "session_token": CANARY})),
    ],
)
def test_what_is_right_is_taken(byom: Byom, home: Path, store: FileStore, provider: str, secret: str) -> None:
    (home / "key").write_text(f"{secret}\n", encoding="utf-8")

    result = byom(*command(provider, Mistake("nothing", secret, "")))

    assert result.exit_code == 0, result.output
    assert store.get("/byom/projects/acme/connections/primary") is not None


OTHERS = {
    "Anthropic's key for OpenAI": ("openai", "gpt-6-luna", f"sk-ant-{CANARY}", "or --provider anthropic"),
    "OpenAI's key for Anthropic": ("anthropic", "claude-haiku-5-5", f"sk-proj-{CANARY}", "or --provider openai"),
    "OpenAI's key for Gemini": ("gemini", "gemini-2.5-flash-lite", f"sk-proj-{CANARY}", "or --provider openai"),
    "an admin key": ("openai", "gpt-6-luna", f"sk-admin-{CANARY}", "create a project key"),
    "a service account for Gemini": (
        "gemini",
        "gemini-2.5-flash-lite",
        service_account(),
        "which is for --provider vertex",
    ),
    "a role for Anthropic": ("anthropic", "claude-haiku-5-5", ROLE, "which is for --provider bedrock"),
    "a placeholder": ("openai", "gpt-6-luna", "<YOUR_API_KEY>", "give the key itself"),
    "JSON around the key": ("openai", "gpt-6-luna", json.dumps({"key": CANARY}), "which is one word"),
}


@pytest.mark.parametrize(("provider", "model", "secret", "mend"), OTHERS.values(), ids=OTHERS)
def test_the_key_of_another_vendor_is_told_apart(
    byom: Byom, home: Path, provider: str, model: str, secret: str, mend: str
) -> None:
    (home / "key").write_text(secret, encoding="utf-8")
    arguments = ("--provider", provider, "--model", model, "--key-file", "key", "--no-verify")

    result = byom("connection", "add", "-p", "acme", *arguments)

    assert result.exit_code == 2
    assert mend in result.stderr
    assert CANARY not in result.output


def test_a_gateway_may_take_the_keys_of_another_vendor(byom: Byom, home: Path) -> None:
    (home / "key").write_text(f"sk-proj-{CANARY}", encoding="utf-8")
    given = ("--provider", "anthropic", "--model", "claude-haiku-5-5", "--base-url", "https://gateway.example.com")

    result = byom("connection", "add", "-p", "acme", "--no-verify", *given, "--key-file", "key")

    assert result.exit_code == 0
