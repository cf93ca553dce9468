import pytest

from config.catalogue import load_catalogue
from config.connections import project_path, save_connection
from config.errors import InvalidConnection, UnknownModel
from config.kinds.azure_openai.endpoint import check_azure_endpoint
from config.store import MemoryStore
from tasks.contract import ProviderKind

_TARGET = "https://acme.openai.azure.com/openai/deployments/my-gpt-deployment/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://acme.openai.azure.com/", "https://acme.openai.azure.com/"),
        ("https://acme.openai.azure.com", "https://acme.openai.azure.com/"),
        (" https://Acme-EU.OpenAI.Azure.com/\n", "https://acme-eu.openai.azure.com/"),
        ("https://acme.openai.azure.com:443/", "https://acme.openai.azure.com/"),
        ("https://acme.cognitiveservices.azure.com/", "https://acme.cognitiveservices.azure.com/"),
        ("https://acme.services.ai.azure.com/", "https://acme.services.ai.azure.com/"),
        # What Azure's own samples for other clients show.
        ("https://acme.openai.azure.com/openai/v1/", "https://acme.openai.azure.com/"),
        ("https://acme.openai.azure.com/openai/v1", "https://acme.openai.azure.com/"),
        ("https://acme.openai.azure.com/openai", "https://acme.openai.azure.com/"),
        # The simulator.
        ("http://127.0.0.1:8000/azure", "http://127.0.0.1:8000/azure/"),
        ("http://localhost:8000/", "http://localhost:8000/"),
        ("http://[::1]:8000/azure/", "http://[::1]:8000/azure/"),
    ],
)
def test_a_resources_base_url_is_brought_to_one_form(given: str, base: str) -> None:
    assert check_azure_endpoint(given) == base
    assert check_azure_endpoint(base) == base


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (_TARGET, "Target URI; paste https://acme.openai.azure.com/ instead and give 'my-gpt-deployment'"),
        (_TARGET.partition("?")[0], "Target URI; paste https://acme.openai.azure.com/ instead"),
        ("https://acme.openai.azure.com/openai/v1/responses", "paste https://acme.openai.azure.com/ instead"),
        ("https://acme.services.ai.azure.com/api/projects/p", "paste https://acme.services.ai.azure.com/ instead"),
        ("http://acme.openai.azure.com/", "paste https://acme.openai.azure.com/ instead"),
        ("https://acme.openai.azure.com:8443/", "paste https://acme.openai.azure.com/ instead"),
        ("https://acme.openai.azure.com/?api-version=v1", "paste https://acme.openai.azure.com/ instead"),
        ("https://user:secret@acme.openai.azure.com/", "paste https://acme.openai.azure.com/ instead"),
        ("https://openai.azure.com/", "such as https://NAME.openai.azure.com/"),
        ("https://acme.openai.azure.com.evil.example/", "such as https://NAME.openai.azure.com/"),
        ("https://evil.example/acme.openai.azure.com/", "such as https://NAME.openai.azure.com/"),
        ("https://a.b.openai.azure.com/", "such as https://NAME.openai.azure.com/"),
        ("https://acme.openai.azure.com\\@evil.example/", "such as https://NAME.openai.azure.com/"),
        ("https://169.254.169.254/", "such as https://NAME.openai.azure.com/"),
        ("http://127.0.0.1.evil.example/", "such as https://NAME.openai.azure.com/"),
        ("ftp://127.0.0.1/", "such as https://NAME.openai.azure.com/"),
        ("https://api.openai.com/v1", "such as https://NAME.openai.azure.com/"),
        ("https://acme.openai.azure.com:port/", "such as https://NAME.openai.azure.com/"),
        ("https://[::1", "such as https://NAME.openai.azure.com/"),
        ("acme", "such as https://NAME.openai.azure.com/"),
        ("", "such as https://NAME.openai.azure.com/"),
    ],
)
def test_everything_else_is_refused_with_what_to_paste_instead(given: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^base_url is ") as refused:
        check_azure_endpoint(given)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", [_TARGET, _TARGET.partition("?")[0], "https://acme.openai.azure.com/openai/v1/responses"]
)
def test_the_mistake_is_caught_when_the_connection_is_saved_and_nothing_is_written(url: str) -> None:
    store = MemoryStore()
    document = {"name": "main", "provider": "azure_openai", "model": "gpt-4.1-mini", "credential": "k", "base_url": url}
    with pytest.raises(InvalidConnection, match=r"paste https://acme\.openai\.azure\.com/ instead"):
        save_connection(store, project_path("acme"), document)
    assert list(store.list("/byom")) == []


def test_a_deployment_with_a_name_of_its_own_is_refused_with_the_reason() -> None:
    with pytest.raises(UnknownModel, match=r"deployment's name must equal the model's id \(gpt-4\.1-mini, not my-"):
        load_catalogue().find(ProviderKind.AZURE_OPENAI, "my-gpt-deployment")
