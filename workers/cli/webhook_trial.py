"""Trying a webhook out: one signed message, from this process."""

import asyncio
from datetime import UTC, datetime

from config.settings import Settings
from config.store import ParameterStore
from config.webhooks import Webhook, signing_secrets
from tasks.contract.events import Event, EventKind, Trial
from workers.notify.events import new_id
from workers.notify.posting import Posted, build_poster
from workers.notify.signing import signed_headers


def try_out(settings: Settings, store: ParameterStore, webhook: Webhook) -> tuple[str, Posted]:
    """Post a `webhook.test` as a worker would; its id, and what came of it."""
    now = datetime.now(UTC)
    secrets = signing_secrets(store, webhook, now=now)
    event = Event(
        id=new_id(),
        type=EventKind.WEBHOOK_TEST,
        timestamp=now,
        data=Trial(message="If you can verify the signature of this, all is well."),
    )
    body = event.model_dump_json(exclude_none=True)
    headers = signed_headers(secrets, message_id=event.id, at=now, body=body)

    async def post() -> Posted:
        poster = build_poster(settings)
        try:
            return await poster.post(webhook.url or "", body=body, headers=headers)
        finally:
            await poster.aclose()

    return event.id, asyncio.run(post())
