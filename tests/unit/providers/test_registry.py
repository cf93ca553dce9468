from workers.providers.faults import HTTP_RULES
from workers.providers.registry import build_providers


def test_every_provider_is_found_by_its_own_kind() -> None:
    assert all(kind is provider.kind for kind, provider in build_providers().items())


def test_every_providers_table_knows_what_http_says() -> None:
    for provider in build_providers().values():
        assert tuple(provider.rules[-len(HTTP_RULES) :]) == HTTP_RULES
