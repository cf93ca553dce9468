"""Settings of one process: environment (`BYOM_*`), then `byom.toml`, then defaults."""

import base64
import json
import os
import re
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from config.errors import SettingsError
from tasks.contract import ProviderKind
from tasks.contract.fields import Identifier
from tasks.contract.problems import Problem, problems

_PREFIX = "BYOM_"
_FILE = "byom.toml"


def _decoded(value: Any) -> Any:
    """JSON from the environment; decoded here, so that a fault is reported like any other."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('must be a JSON object, such as {"openai": "600/m"}') from None


def _decoded_list(value: Any) -> Any:
    """As `_decoded`, for a list of numbers."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a JSON array of numbers, such as [30, 120]") from None


def _http_url(value: SecretStr) -> SecretStr:
    if not re.match(r"https?://[^/]", value.get_secret_value()):
        raise ValueError("must be an http or https URL, such as http://collector:4318")
    return value


def _signing_key(value: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("must be the key of a producer, whsec_ and base64, as `byom producer key` prints it")
    return value


_VALKEY_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}


class Settings(BaseSettings):
    """What one worker, CLI call or Flower process runs with. Secrets are masked in repr."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        toml_file=_FILE,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        # `NAME=` in an env file means that the setting is not set.
        env_ignore_empty=True,
    )

    #: Redis or Valkey that carries the queues. May hold a password.
    broker_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    #: Where results are kept; absent means the broker.
    result_url: SecretStr | None = None
    #: Where connections and credentials are kept: `ssm:`, `ssm://REGION/PREFIX`, `file:PATH` or `memory:`.
    store_url: str = "file:.byom/store.json"
    #: Who changes the configuration, for the audit log; empty means the user of the operating system and the machine.
    actor: str = ""
    #: The log of all changes of the configuration; empty means `audit.jsonl` beside the file store, else in `.byom`.
    audit_log: str = ""
    #: What a `file:` store encrypts secrets with: 32 bytes as base64. Absent means the file beside it, `PATH.key`.
    store_key: SecretStr | None = None
    #: Threads of one worker process: jobs in hand at once.
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 100
    #: Calls in flight at once over all jobs of one process.
    max_calls: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    #: Celery's own rate limit per provider task and worker process, of jobs and not of calls, such as
    #: `{"openai": "600/m"}`.
    rate_limits: Annotated[
        dict[ProviderKind, Annotated[str, Field(pattern=r"^\d+(\.\d+)?/[smh]$")]], NoDecode, BeforeValidator(_decoded)
    ] = {}
    #: Seconds to open a connection to a provider.
    connect_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5
    #: Seconds for one whole call.
    call_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 90
    #: Seconds for one whole call at a vendor's flex tier; what takes longer is asked at the standard one.
    flex_timeout: Annotated[float, Field(gt=0, le=3_000, allow_inf_nan=False)] = 900
    #: Seconds that the first job of a batch waits for others to share it.
    economy_gather: Annotated[float, Field(ge=0, le=3_600, allow_inf_nan=False)] = 60
    #: Seconds until the first look at a batch that a vendor has; later ones come after longer times, up to 5 minutes.
    economy_look: Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)] = 30
    #: The longest wait that a worker spends in place before a retry, in seconds; a longer one is spent in the lane.
    patience: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5
    #: Seconds that a job waits for a rate limit of one connection before it goes on to the next.
    fallback_patience: Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)] = 30
    #: Seconds that a job of class `backfill` waits for a rate limit of one connection before it goes on to the next, or
    #: fails on the last.
    backfill_max_wait: Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)] = 86_400
    #: Seconds that a job waits on its last connection before it fails.
    max_wait: Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)] = 3_600
    #: Share of backfill jobs in what is handed out while live jobs wait too.
    backfill_floor: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.05
    #: Seconds that a worker drives a backfill for, before any worker goes on with it.
    backfill_slice: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20
    #: Seconds that a backfill belongs to who drives it after its last sign of life. Below `visibility_timeout`, so that
    #: the slice of a killed worker finds it free when it is delivered again.
    backfill_lease: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 15
    #: Seconds after which a delivery that nobody renews is handed to another worker.
    visibility_timeout: Annotated[int, Field(ge=10)] = 60
    #: Seconds that results are kept.
    result_ttl: Annotated[int, Field(ge=60)] = 86_400
    #: Seconds that the working state of a job is kept beyond its waits: finished parts, attempts, the final answer.
    job_state_ttl: Annotated[int, Field(ge=60)] = 3_600
    #: Seconds that an idempotency key is remembered.
    idempotency_ttl: Annotated[int, Field(ge=60)] = 604_800
    #: Usage records kept in Redis; older ones remain in the hourly sums.
    usage_records: Annotated[int, Field(ge=0)] = 100_000
    #: Days that the hourly sums of usage are kept.
    usage_sums_ttl: Annotated[int, Field(ge=1, le=3_650)] = 90
    #: Database that `byom usage sync` writes to: `sqlite:///PATH` or `postgresql://…`. May hold a password.
    ledger_url: SecretStr | None = None
    #: Seconds that a configuration read is trusted where no notice of a change comes.
    config_cache_ttl: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30
    #: Seconds that a worker may go on after SIGTERM before it hands its jobs back.
    shutdown_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60
    #: Who may see Flower, as `user:password`; several are separated by commas.
    flower_auth: SecretStr | None = None
    #: Where a worker serves its metrics; absent: nowhere. Each worker of a machine needs a port of its own.
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    #: The address that its metrics are served at.
    metrics_address: str = "127.0.0.1"
    #: The file in which a worker keeps its signs of life, for `byom health`; empty: nowhere. Each worker needs its own.
    health_file: str = ""
    #: Seconds without a sign of life after which a worker counts as stuck.
    health_patience: Annotated[float, Field(ge=1, le=3_600, allow_inf_nan=False)] = 60
    #: Where traces are sent as OTLP over HTTP, such as `http://collector:4318`; needs the extra `otel`. May hold a
    #: password.
    otlp_endpoint: Annotated[SecretStr, AfterValidator(_http_url)] | None = None
    #: Allow provider endpoints on private and link-local addresses.
    allow_private_endpoints: bool = False
    #: Where service accounts get their access tokens. The operator's to set, never a customer's: it sees signed claims.
    google_token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, not a token
    #: Events kept in Redis, of jobs and of all else each; older ones are dropped.
    events_kept: Annotated[int, Field(ge=1)] = 10_000
    #: Seconds that the receiver of a webhook may take for its answer.
    webhook_timeout: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 15
    #: Seconds before each further try of a delivery, such as `[30, 120]`; after the last, it is given up.
    webhook_backoff: Annotated[
        tuple[Annotated[float, Field(ge=0, le=86_400)], ...], NoDecode, BeforeValidator(_decoded_list)
    ] = (30, 120, 600, 1_800)
    #: Deliveries to webhooks in hand at once in one process.
    webhook_concurrency: Annotated[int, Field(ge=1, le=1_000)] = 64
    #: Deliveries kept that were given up, for seven days; the oldest are dropped.
    webhook_failed_kept: Annotated[int, Field(ge=0)] = 10_000
    #: Bytes of the largest callback of a job; a larger one is sent without the result.
    callback_max_bytes: Annotated[int, Field(ge=1_024)] = 1_048_576
    #: Seconds that a job which failed is kept for a replay, with what it was asked to extract.
    dead_letter_ttl: Annotated[int, Field(ge=60)] = 2_592_000
    #: Failed jobs kept; the oldest give way.
    dead_letters_kept: Annotated[int, Field(ge=0)] = 100_000
    #: Bytes that the failed jobs kept may take in Redis; the oldest give way.
    dead_letters_bytes: Annotated[int, Field(ge=0)] = 536_870_912
    #: What failed jobs are encrypted with while they are kept: 32 bytes as base64. Several are separated by commas: the
    #: first one encrypts, all decrypt. Absent: they are kept in the clear.
    dead_letter_key: SecretStr | None = None
    #: Whether workers ask of jobs who sent them: `off`; `optional`, where a signature that is there must be right; or
    #: `required`, where a job without one is refused.
    signed_jobs: Literal["off", "optional", "required"] = "off"
    #: The producer in whose name this process signs the jobs that it enqueues; see `byom producer add`.
    producer_name: Identifier | None = None
    #: The key of that producer.
    producer_key: Annotated[SecretStr, AfterValidator(_signing_key)] | None = None
    #: Workers that may die with a job in hand; the last try is made in a process of the job's own.
    max_crashes: Annotated[int, Field(ge=2, le=100)] = 3
    #: Lines of the log: `text` for people, `json` for machines.
    log_format: Literal["text", "json"] = "text"
    #: The least that is logged.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="after")
    def _producers_have_name_and_key(self) -> Self:
        if (self.producer_name is None) is not (self.producer_key is None):
            raise ValueError("BYOM_PRODUCER_NAME and BYOM_PRODUCER_KEY go together; set both, or neither")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags beat the environment, which beats `byom.toml`."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def redis_url(self) -> str:
        """Broker URL in the clear, as Redis clients know it; for clients only."""
        return _as_redis(self.broker_url)

    @property
    def backend_url(self) -> str:
        """Result URL in the clear, as Redis clients know it; for clients only."""
        return _as_redis(self.result_url or self.broker_url)


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: with one line per setting that does not fit, naming the variable and never its value.
    """
    lines = _misspelt()
    try:
        settings = Settings()
    except ValidationError as error:
        lines += [_line(problem) for problem in problems(error, whole="settings")]
    except UnicodeDecodeError:
        lines.append(f"  {_FILE}: is no text in UTF-8")
    except OSError as error:
        lines.append(f"  {_FILE}: cannot be read: {error.strerror}")
    except ValueError as error:
        lines.append(f"  {_FILE}: {error}")
    else:
        if not lines:
            return settings
    where = f"the environment or {_FILE}" if Path(_FILE).exists() else "the environment"
    # Raised outside the handlers: what pydantic raised holds the values, and must not hang on this as its context.
    raise SettingsError("\n".join([f"Settings do not fit; mend them in {where}:", *lines]))


def _as_redis(url: SecretStr) -> str:
    """Valkey speaks Redis's protocol; clients know it by that name only."""
    scheme, separator, rest = url.get_secret_value().partition("://")
    return f"{_VALKEY_SCHEMES.get(scheme, scheme)}{separator}{rest}"


def _misspelt() -> list[str]:
    """Variables that are nearly a setting's; others are let be, since orchestrators invent `BYOM_*` of their own."""
    known = _names()
    return [
        f"  {name}: no such setting; did you mean {close[0]}?"
        for name in os.environ
        if name.startswith(_PREFIX) and name not in known and (close := get_close_matches(name, known, 1, 0.85))
    ]


def _names() -> list[str]:
    return [f"{_PREFIX}{name}".upper() for name in Settings.model_fields]


def _line(problem: Problem) -> str:
    first, *path = problem.field.split(".")
    name = f"{_PREFIX}{first}".upper()
    if name not in _names():
        # Of the file alone: of the environment only what is a setting is read.
        close = get_close_matches(name, _names(), 1, 0.75)
        said = f"did you mean {close[0]}?" if close else "docs/settings.md lists them"
        return f"  {name}: no such setting; {said}"
    return f"  {'.'.join([name, *path])}: {problem.message}"
