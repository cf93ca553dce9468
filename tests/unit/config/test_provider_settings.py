"""Each kind of provider takes its own settings and no other's."""

from typing import Any

import pytest

from config.connections import Connection
from tasks.contract import ProviderKind

#: Setting → a value that fits, and who takes it; written down here a second time, on purpose.
_SETTINGS: dict[str, tuple[str, set[ProviderKind]]] = {
    "organization": ("org-1", {ProviderKind.OPENAI}),
    "api_version": ("2026-10-21", {ProviderKind.AZURE_OPENAI}),
    "gcp_project": ("acme-prod", {ProviderKind.VERTEX}),
    "location": ("us-central1", {ProviderKind.VERTEX}),
    "region": ("eu-central-1", {ProviderKind.BEDROCK}),
    "external_id": ("byom-8f3a", {ProviderKind.BEDROCK}),
    "structured_output": ("native", {ProviderKind.BEDROCK}),
}
_BASE_URLS = {
    ProviderKind.AZURE_OPENAI: "https://acme.openai.azure.com/",
    ProviderKind.OPENAI_COMPATIBLE: "http://127.0.0.1:8000/v1",
}


def _connection(provider: ProviderKind, **settings: Any) -> Connection:
    model = "gpt-6-luna" if provider is ProviderKind.AZURE_OPENAI else "m"
    return Connection(
        name="main",
        provider=provider,
        model=model,
        credential="key",
        base_url=_BASE_URLS.get(provider),
        **settings,
    )


@pytest.mark.parametrize("provider", list(ProviderKind))
@pytest.mark.parametrize("setting", _SETTINGS)
def test_a_setting_is_taken_by_its_own_providers_only(provider: ProviderKind, setting: str) -> None:
    value, takers = _SETTINGS[setting]
    if provider in takers:
        assert getattr(_connection(provider, **{setting: value}), setting) == value
    else:
        with pytest.raises(ValueError, match=f"{setting} is not a setting of {provider.value}; remove it"):
            _connection(provider, **{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("region", "us-east-1.evil.example"),
        ("region", "useast1"),
        ("external_id", "x"),
        ("external_id", "a b"),
        ("structured_output", "strict"),
    ],
)
def test_a_setting_of_bedrock_that_aws_would_not_take_is_refused(setting: str, value: str) -> None:
    with pytest.raises(ValueError, match=setting):
        _connection(ProviderKind.BEDROCK, **{setting: value})
