"""Webhooks: where a project's or an account's events are posted, and the secrets that they are signed with.

<scope>/webhooks/<name>             address, kinds of event, and which versions of the secret there are; not secret
<scope>/webhook-secrets/<name>/<n>  one version of its secret

`<scope>` is the path of a project or of an account. A project has its account's webhooks too, except those of whose
name it has one of its own. The webhook named `callback` has no address: its secret signs what is posted to the
`callback_url` of jobs.

Secrets are `whsec_` and base64, as Standard Webhooks have them. While a secret is being replaced both versions sign.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from config.connections.documents import dump, load
from config.connections.paths import account_path, project_path
from config.connections.profiles import read_project
from config.errors import InvalidConnection, InvalidWebhook
from config.kms import kms_key_for
from config.signing_secrets import SecretVersions, read_secrets, replace_secret
from config.store import ParameterStore, join_path
from tasks.contract.events import EventKind
from tasks.contract.fields import HttpUrl
from tasks.contract.problems import problems

#: The webhook whose secret signs the callbacks of jobs.
CALLBACK: Final = "callback"

#: What a webhook gets that names no kinds: all but one event per job.
DEFAULT_KINDS: Final = ("byom.*", "backfill.completed")

#: A kind of event, or all that begin so: `byom.*`, `job.*`, `*`.
_PATTERNS: Final = frozenset({*EventKind, "byom.*", "job.*", "backfill.*", "*"})


class Webhook(BaseModel):
    """Where events are posted."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    #: None for `CALLBACK`, which has no address of its own.
    url: HttpUrl | None = None
    kinds: tuple[str, ...] = DEFAULT_KINDS
    enabled: bool = True
    #: Number of the secret → what is known of it.
    secrets: SecretVersions = {}
    #: Both say where it was read, and are not stored.
    scope: str
    name: str

    @property
    def path(self) -> str:
        """Its path in the store, which is also what deliveries call it."""
        return f"{self.scope}/webhooks/{self.name}"

    def takes(self, kind: str) -> bool:
        """Whether events of a kind are posted to it."""
        family = f"{kind.partition('.')[0]}.*"
        return self.enabled and self.url is not None and not {kind, family, "*"}.isdisjoint(self.kinds)


def read_webhook(store: ParameterStore, scope: str, name: str) -> Webhook | None:
    """One webhook of a scope, or None.

    Raises:
        InvalidWebhook: it is stored damaged.
        StoreError: the store cannot be read.
    """
    parameter = store.get(join_path(scope, "webhooks", name))
    return None if parameter is None else _parse(scope, name, parameter.value)


def webhooks_of(store: ParameterStore, scope: str) -> list[Webhook]:
    """The webhooks of a scope, without those that it inherits, in the order of their names.

    Raises:
        InvalidWebhook: one is stored damaged.
        StoreError: the store cannot be read.
    """
    found = store.list(join_path(scope, "webhooks"), secure=False)
    return [_parse(scope, parameter.path.rsplit("/", 1)[1], parameter.value) for parameter in found]


def effective_webhooks(store: ParameterStore, *, project: str | None, account: str | None = None) -> list[Webhook]:
    """The webhooks of a project, its account's included; without a project, those of an account.

    Raises:
        InvalidWebhook: one is stored damaged.
        InvalidConnection: the project's profile is stored damaged.
        StoreError: the store cannot be read.
    """
    if project is not None:
        profile = read_project(store, project)
        account = profile.account if profile else None
    inherited = webhooks_of(store, account_path(account)) if account else []
    own = webhooks_of(store, project_path(project)) if project is not None else []
    return list({webhook.name: webhook for webhook in (*inherited, *own)}.values())


def save_webhook(
    store: ParameterStore,
    scope: str,
    name: str,
    *,
    url: str | None,
    kinds: tuple[str, ...] = DEFAULT_KINDS,
    now: datetime,
) -> Webhook:
    """Make a webhook with a secret of its own, or give one that is there another address and other kinds.

    Raises:
        InvalidWebhook: it does not fit; nothing was written.
        StoreError: the store cannot be written, or this cannot be the name of a webhook.
    """
    join_path(scope, "webhooks", name)
    if unknown := [kind for kind in kinds if kind not in _PATTERNS]:
        raise InvalidWebhook(f"no event is called '{unknown[0]}'; choose from: {', '.join(sorted(_PATTERNS))}")
    if (url is None) is not (name == CALLBACK):
        raise InvalidWebhook(
            f"'{CALLBACK}' is the name of the secret that signs the callbacks of jobs; it has no address. "
            "Choose another name"
        )
    earlier = read_webhook(store, scope, name)
    changes = {"url": url, "kinds": kinds}
    webhook = _parse_fields(scope, name, {**(earlier.model_dump() if earlier else {}), **changes})
    if earlier is None:
        return _with_new_secret(store, webhook, now=now, overlap=None)
    _write(store, webhook)
    return webhook


def rotate_secret(store: ParameterStore, webhook: Webhook, *, now: datetime, overlap: timedelta) -> Webhook:
    """Give a webhook a new secret; the one before it signs too for the time of the overlap, older ones no more.

    Raises:
        StoreError: the store cannot be written.
    """
    return _with_new_secret(store, webhook, now=now, overlap=overlap)


def set_enabled(store: ParameterStore, webhook: Webhook, *, enabled: bool) -> Webhook:
    """Switch a webhook on or off.

    Raises:
        StoreError: the store cannot be written.
    """
    changed = webhook.model_copy(update={"enabled": enabled})
    _write(store, changed)
    return changed


def remove_webhook(store: ParameterStore, webhook: Webhook) -> None:
    """Remove a webhook and its secrets.

    Raises:
        StoreError: the store cannot be written.
    """
    store.delete(webhook.path)
    for number in webhook.secrets:
        store.delete(_secret_path(webhook, number))


def signing_secrets(store: ParameterStore, webhook: Webhook, *, now: datetime) -> list[SecretStr]:
    """The secrets that sign now, the newest first; empty when there is none.

    Raises:
        StoreError: the store cannot be read.
    """
    return read_secrets(store, webhook.secrets, path=partial(_secret_path, webhook), now=now)


def _with_new_secret(store: ParameterStore, webhook: Webhook, *, now: datetime, overlap: timedelta | None) -> Webhook:
    def write(versions: SecretVersions) -> Webhook:
        changed = webhook.model_copy(update={"secrets": versions})
        _write(store, changed)
        return changed

    return replace_secret(
        store,
        webhook.secrets,
        path=partial(_secret_path, webhook),
        write=write,
        now=now,
        overlap=overlap,
        kms_key=kms_key_for(store, webhook.scope),
    )


def _write(store: ParameterStore, webhook: Webhook) -> None:
    store.put(webhook.path, dump(webhook.model_dump(mode="json", exclude={"scope", "name"})), secure=False)


def _secret_path(webhook: Webhook, number: int) -> str:
    return join_path(webhook.scope, "webhook-secrets", webhook.name, str(number))


def _parse(scope: str, name: str, value: SecretStr) -> Webhook:
    subject = f"the webhook '{name}' of {scope}"
    try:
        document = load(value, subject)
    except InvalidConnection as error:
        raise InvalidWebhook(str(error)) from None
    return _parse_fields(scope, name, document)


def _parse_fields(scope: str, name: str, document: dict[str, Any]) -> Webhook:
    try:
        return Webhook.model_validate({**document, "scope": scope, "name": name})
    except ValidationError as error:
        found = "; ".join(str(problem) for problem in problems(error, whole="webhook"))
    raise InvalidWebhook(f"the webhook '{name}' of {scope} does not fit: {found}; save it again")
