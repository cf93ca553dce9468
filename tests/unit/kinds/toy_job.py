"""Run with a tree that knows the toy kind: verifies a connection of it, does a job, and prints what came of it."""

import asyncio
import json
import sys

from pydantic import SecretStr

from config.catalogue import load_catalogue
from config.connections import effective_chain, project_path, save_connection, save_project
from config.credential_shapes import credential_problem
from config.credentials import read_credential, save_credential
from config.settings import Settings
from config.store import MemoryStore, ParameterStore
from tasks.contract import ProviderKind, parse_job
from workers.admission.memory import MemoryAdmission
from workers.alerts import MemoryAlerts
from workers.clock import SystemClock
from workers.configuration.directory import Directory
from workers.embedded.simulator import Account, FaultRule, Injection, Latency, Options, Reason, Simulator
from workers.embedded.simulator.wire import stand_in
from workers.engine.address import Patience
from workers.engine.attempts import Attempts
from workers.engine.engine import Engine
from workers.engine.leases import Leases
from workers.engine.routing import first_route
from workers.jobs import Ending, MemoryJobs
from workers.monitoring.metrics.names import provider_name
from workers.providers.base import Fault
from workers.providers.registry import build_providers
from workers.providers.transport import Transport, build_transport
from workers.verification.diagnosis import find_row
from workers.verification.probe import probe_call
from workers.verification.verify import verify

TOY = ProviderKind("toy")
JOB = {"project": "acme", "episodes": [{"id": "e", "content": "Ada moved to Lisbon in May 2026."}]}


def connected(url: str, secret: str) -> ParameterStore:
    store = MemoryStore()
    save_project(store, "acme")
    save_credential(store, project_path("acme"), "main", SecretStr(secret))
    document = {"name": "primary", "provider": "toy", "model": "toy-1", "credential": "main", "base_url": url}
    save_connection(store, project_path("acme"), document)
    return store


def engine_on(store: ParameterStore, transport: Transport, jobs: MemoryJobs) -> tuple[Engine, Directory]:
    clock = SystemClock()
    directory = Directory(store, clock=clock, ttl=60)
    attempts = Attempts(
        directory=directory,
        providers=build_providers(fetch=transport.fetch),
        transport=transport,
        admission=MemoryAdmission(clock),
        jobs=jobs,
        alerts=MemoryAlerts(),
        clock=clock,
        max_calls=10,
        call_timeout=30,
        flex_timeout=60,
        patience=5,
    )
    engine = Engine(
        directory=directory,
        catalogue=load_catalogue(),
        jobs=jobs,
        attempts=attempts,
        leases=Leases(jobs, seconds=15, clock=clock),
        patience=Patience(before_fallback=30, at_most=600),
    )
    return engine, directory


async def main() -> None:
    secret = stand_in(TOY).secret_of("acme")
    account = Account(key=secret, tpm=90_000)
    clock, catalogue, jobs = SystemClock(), load_catalogue(), MemoryJobs(clock=SystemClock())
    async with Simulator(Options(accounts=(account,), latency=Latency.fixed(0), seed=1)) as simulator:
        store = connected(simulator.base_urls["toy"], secret)
        [link] = effective_chain(store, "acme")
        credential = read_credential(store, link)
        assert credential is not None
        transport = build_transport(Settings(_env_file=None))
        providers = build_providers(fetch=transport.fetch)
        probe = probe_call(link, credential, catalogue.find(TOY, "toy-1"))
        try:
            report = await verify(
                link,
                credential,
                providers=providers,
                transport=transport,
                catalogue=catalogue,
                clock=clock,
                timeout=30,
            )
            simulator.reset()
            engine, directory = engine_on(store, transport, jobs)
            done = await engine.run(parse_job(JOB), job_id="j", route=first_route(await directory.chain("acme")))
            billed = simulator.books().billed.total
            answered = (await transport.send(providers[TOY], probe, timeout=30)).answer
            simulator.add_fault(FaultRule(kind=Injection.STATUS, reason=Reason.QUOTA_EXHAUSTED))
            refused = (await transport.send(providers[TOY], probe, timeout=30)).answer
        finally:
            await transport.aclose()
    assert isinstance(done, Ending)
    assert done.result is not None
    assert isinstance(refused, Fault)
    assert answered.limits is not None
    assert answered.limits.tokens is not None
    shown = {
        "verified": report.as_json(),
        "result": done.result.model_dump(mode="json"),
        "tokens": done.result.usage.tokens.total,
        "billed": billed,
        "limit": answered.limits.tokens.limit,
        "fault": refused.kind.value,
        "mend": find_row(refused, link.connection).mend,
        "metrics": provider_name(TOY),
        "elsewhere": credential_problem(SecretStr("toy-key-1"), provider=ProviderKind.OPENAI),
        "useless": credential_problem(SecretStr("toy-box-1"), provider=TOY),
    }
    sys.stdout.write(json.dumps(shown))


asyncio.run(main())
