"""Each kind of provider has a part in chaos, with a credential of its own form, parts of which are looked for."""

from tasks.contract import ProviderKind
from tests.chaos.keys import LENT, SECRET, Key, environment, key_of, set_terms, workers_key
from tests.chaos.stage import CHAINS, LENDERS, ROLES, VENDORS
from workers.embedded.simulator import Account, RemoteSimulator


def all_keys() -> list[tuple[ProviderKind, Key]]:
    return [
        (provider, key_of(provider, f"{project}-{name}", role=(project, name) in ROLES))
        for project, chain in CHAINS.items()
        for name, provider in zip(("primary", "backup"), chain, strict=False)
    ]


def test_every_kind_of_provider_is_called_and_may_fail() -> None:
    assert {provider for chain in CHAINS.values() for provider in chain} == set(ProviderKind)
    assert VENDORS.keys() == set(ProviderKind)
    assert set(LENDERS) == {"oauth2", "sts"}
    # Bedrock with keys and with roles, and each of those who are lent something with nowhere else to go.
    assert {(CHAINS[project][name == "backup"]) for project, name in ROLES} == {ProviderKind.BEDROCK}
    assert {chain[0] for chain in CHAINS.values() if len(chain) == 1} >= {ProviderKind.BEDROCK, ProviderKind.VERTEX}


def test_no_two_connections_share_a_credential() -> None:
    keys = [key for _, key in all_keys()]

    assert len({key.fingerprint for key in keys}) == len({key.secret for key in keys}) == len(keys)


def test_of_each_credential_something_is_looked_for_that_stands_in_it() -> None:
    for provider, key in all_keys():
        assert key.marks
        # A private key's lines stand in a JSON document; nothing in them needs an escape.
        assert all(mark in key.secret and len(mark) >= 16 for mark in key.marks), provider
    shared = [mark for provider, key in all_keys() if provider is ProviderKind.VERTEX for mark in key.marks]
    assert len(set(shared)) == len(shared)


def test_nothing_of_a_credential_shows_in_its_repr() -> None:
    for _, key in all_keys():
        assert SECRET not in repr(key)
        assert not any(mark in repr(key) for mark in (*key.marks, *LENT))


class _Vendors(RemoteSimulator):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.put: list[Account] = []

    @property
    def base_urls(self) -> dict[str, str]:
        return {"google_oauth": "http://127.0.0.1:1/oauth2/token", "aws_sts": "http://127.0.0.1:1/sts/"}

    def put_account(self, account: Account) -> None:
        self.put.append(account)


def test_workers_have_keys_of_their_own_and_get_tokens_and_sessions_from_the_simulator() -> None:
    first, second = (environment(_Vendors(), number) for number in (0, 1))

    assert first["AWS_ACCESS_KEY_ID"] == workers_key(0).account != second["AWS_ACCESS_KEY_ID"]
    assert first["AWS_SECRET_ACCESS_KEY"] in workers_key(0).marks
    assert first["BYOM_GOOGLE_TOKEN_URL"].endswith("/oauth2/token")
    assert first["AWS_ENDPOINT_URL_STS"].endswith("/sts/")


def test_some_are_lent_something_for_less_or_have_it_taken_back() -> None:
    vendors = _Vendors()
    for owner in ("ginkgo-primary", "iris-primary", "worker 0", "worker 1", "alder-primary"):
        set_terms(vendors, owner, workers_key(0))

    assert [(account.lends_for, account.revokes_after) for account in vendors.put] == [
        (44, None),
        (None, 40),
        (620, None),
        (None, 40),
    ]
