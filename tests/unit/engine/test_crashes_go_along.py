"""What a task says when a job goes on that workers may have died of: the next connection's worker is to know it too."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore

from config.settings import Settings
from tasks.contract import ExtractionJob, FailureCode, ProviderKind, Role
from tests.unit.engine.conftest import make_job
from workers.app import create_app
from workers.broker.crashes import CRASHES
from workers.engine.engine import HandOff
from workers.engine.routing import Hop, Route
from workers.task.extraction_body import carry_out


@pytest.mark.parametrize(("told", "headers"), [({"crashes": 2}, {CRASHES: 2}), ({"since": 1.0}, None), (None, None)])
def test_it_goes_along(told: dict[str, Any] | None, headers: dict[str, Any] | None) -> None:
    gone = Hop(connection="primary", provider=ProviderKind.OPENAI, model="m", code=FailureCode.PROVIDER_UNAVAILABLE)
    route = Route(connection="backup", provider=ProviderKind.OPENAI, model="m", role=Role.FALLBACK, history=(gone,))
    sent: list[Any] = []

    def replace(signature: Any) -> Any:
        sent.append(signature)
        raise Ignore

    task: Any = SimpleNamespace(
        app=create_app(Settings()),
        name="extract.openai",
        replace=replace,
        request=SimpleNamespace(id="j", byom=told),
        update_state=lambda **_: None,
    )

    def step(_job: ExtractionJob, _job_id: str) -> HandOff:
        return HandOff(route=route, address=None)

    payload = make_job().model_dump(mode="json", exclude_unset=True)
    with pytest.raises(Ignore):
        carry_out(task, payload, step, pause=lambda: None, failed=lambda *_: None)

    assert sent[0].options.get("headers") == headers
