"""What `byom webhook` shows of webhooks and of deliveries that were given up: no secret, and no address in full."""

from datetime import UTC, datetime
from typing import Any

from config.webhooks import Webhook
from workers.notify.outbox import Failed


def owner_of(scope: str) -> str:
    """A scope such as `/byom/projects/acme` as `project acme`."""
    kind, owner = scope.removeprefix("/byom/").split("/")
    return f"{kind.removesuffix('s')} {owner}"


def shown_url(url: str) -> str:
    """An address without what stands behind a question mark: that is more often than not a token."""
    return url.partition("?")[0]


def webhook_as_json(webhook: Webhook) -> dict[str, Any]:
    """A webhook as a document."""
    return {
        "webhook": webhook.name,
        "of": owner_of(webhook.scope),
        "url": shown_url(webhook.url) if webhook.url else None,
        "kinds": list(webhook.kinds),
        "enabled": webhook.enabled,
        "secrets": {
            str(number): version.model_dump(mode="json", exclude_none=True)
            for number, version in sorted(webhook.secrets.items())
        },
    }


def webhook_row(one: dict[str, Any]) -> list[str]:
    """A line of the table of webhooks, from its document."""
    state = "gone (410)" if one["gone"] else "on" if one["enabled"] else "off"
    return [
        one["project"] or "",
        one["webhook"],
        one["of"],
        one["url"] or "callback_url of each job",
        ", ".join(one["kinds"]),
        state,
        " ".join(f"v{number}" for number in one["secrets"]),
        str(one["waiting"]),
    ]


def failed_as_json(one: Failed) -> dict[str, Any]:
    """A delivery that was given up, as a document."""
    return {
        "id": one.message,
        "delivery": one.id,
        "project": one.project,
        "kind": one.kind,
        "to": _receiver(one),
        "tries": one.tries,
        "cause": one.cause,
        "given_up_at": datetime.fromtimestamp(one.ended, UTC).isoformat(),
    }


def failed_row(one: Failed) -> list[str]:
    """A line of the table of deliveries that were given up."""
    at = f"{datetime.fromtimestamp(one.ended, UTC):%Y-%m-%d %H:%M:%S}"
    return [at, one.message, one.project, one.kind, _receiver(one), str(one.tries), one.cause]


def _receiver(one: Failed) -> str:
    """A webhook by its name, a callback by its origin: the rest of its address may hold a token."""
    if one.target.startswith("/"):
        return f"webhook {one.target.rsplit('/', 1)[1]}"
    return f"callback {one.target.rsplit(' ', 1)[-1]}" if one.target.startswith("callback ") else "subscribers"
