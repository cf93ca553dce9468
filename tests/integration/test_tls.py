"""The broker behind TLS with an authority of one's own and certificates of clients: each process gets through."""

import base64
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery
from pydantic import SecretStr

from tests.integration.support.pool import ROOT, Pool, job, running_pool, wait_until
from tests.integration.support.tls import Authority, tls_proxy
from workers.embedded.valkey import _free_port
from workers.enqueue.producer import Producer
from workers.redis.impatient import connect

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Behind:
    """A pool whose broker is reached by TLS."""

    pool: Pool
    #: Options of the URL: authority, certificate and key.
    trust: str
    identity: str
    port: int

    def url(self, *options: str, host: str = "127.0.0.1", scheme: str = "rediss") -> str:
        return f"{scheme}://{host}:{self.port}/0?{'&'.join(options)}"

    @property
    def right(self) -> str:
        return self.url(self.trust, self.identity)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = Authority(folder, "authority")
    certificate, key = authority.issue("client")
    with running_pool(folder) as pool:
        port = urlsplit(pool.valkey.url).port
        assert port is not None
        with tls_proxy(port, certificate=authority.issue("server"), clients=authority.path) as tls:
            identity = f"ssl_certfile={certificate}&ssl_keyfile={key}"
            behind = Behind(pool, f"ssl_ca_certs={authority.path}", identity, tls)
            pool.extra["BYOM_BROKER_URL"] = behind.right
            pool.start_worker()
            yield behind
            pool.stop_workers()


def test_a_worker_a_producer_and_results_go_through_tls(behind: Behind) -> None:
    url = behind.url(behind.trust, behind.identity, scheme="valkeys")
    settings = behind.pool.settings.model_copy(update={"broker_url": SecretStr(url)})
    with Producer.from_settings(settings) as producer:
        [one, other] = producer.enqueue_many([job(), job(project="solo")])

        assert one.result(timeout=60).status == "succeeded"
        assert other.result(timeout=60).status == "succeeded"


def test_a_foreign_pipeline_goes_through_tls_as_the_page_says(behind: Behind) -> None:
    url = behind.url("ssl_cert_reqs=required", behind.trust, behind.identity)
    with Celery(broker=url, backend=url, set_as_current=False) as pipeline:
        pipeline.conf.update(task_serializer="json", accept_content=["json"], result_accept_content=["json"])
        sent = pipeline.send_task(
            "byom.extract.v1", args=[job()], queue="byom.extract", argsrepr="(…)", kwargsrepr="{}"
        )

        assert sent.get(timeout=60)["status"] == "succeeded"


def test_flower_reads_the_broker_through_tls(behind: Behind) -> None:
    port = _free_port()
    flower = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "flower", "--port", str(port)],
        cwd=ROOT,
        env=behind.pool.environment | {"BYOM_FLOWER_AUTH": "ada:pass"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"ada:pass").decode())

    def metrics() -> str:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - loopback
                return str(response.read().decode())
        except OSError:
            return ""

    try:
        wait_until(lambda: 'byom_scrape_ok{source="lanes"} 1.0' in metrics(), seconds=90)
        wait_until(lambda: 'flower_worker_online{worker="w0@test"} 1.0' in metrics(), seconds=90)
    finally:
        flower.terminate()
        flower.wait(timeout=30)


@pytest.mark.parametrize("how", ["unknown authority", "another name", "no certificate"])
def test_who_cannot_prove_it_gets_no_connection(behind: Behind, how: str) -> None:
    url = {
        "unknown authority": behind.url(behind.identity),
        "another name": behind.url(behind.trust, behind.identity, host="localhost"),
        "no certificate": behind.url(behind.trust),
    }[how]

    with connect(behind.right) as right, connect(url) as wrong:
        assert right.ping()
        with pytest.raises(redis.ConnectionError):
            wrong.ping()
