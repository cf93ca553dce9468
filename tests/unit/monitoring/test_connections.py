from dataclasses import replace
from datetime import timedelta

import pytest

from tests.monitoring import busy_lanes, combination, hour
from tests.support import START
from workers.lanes.views import LaneView
from workers.monitoring.pool.connections import ConnectionRow, State, connection_rows
from workers.monitoring.pool.meters import Limit, MeterName, MeterReading
from workers.monitoring.usage.book import HOUR, Slice
from workers.monitoring.usage.sums import Combination, Sums

SINCE = START - timedelta(days=1)
ACME = MeterReading(tenant="a/acme-inc", meter="/byom/projects/acme/credentials/main#gpt-6-luna")
SHARED = MeterReading(tenant="a/acme-inc", meter="/byom/accounts/acme-inc/credentials/all#gpt-6-luna")


def slices(*tables: tuple[int, dict[Combination, Sums]]) -> list[Slice[Combination]]:
    return [Slice(start=hour(back), length=HOUR, table=table) for back, table in tables]


def row(
    reading: MeterReading, *tables: tuple[int, dict[Combination, Sums]], lanes: tuple[LaneView, ...] = ()
) -> ConnectionRow:
    (found,) = connection_rows([reading], lanes, slices(*tables), since=SINCE, lately=hour(1))
    return found


@pytest.mark.parametrize(
    ("meter", "name"),
    [
        (
            "/byom/projects/acme/credentials/main#gpt-4.1",
            MeterName(account=None, project="acme", credential="main", connection=None, model="gpt-4.1"),
        ),
        (
            "/byom/accounts/acme-inc/credentials/all#anthropic.claude:0",
            MeterName(account="acme-inc", project=None, credential="all", connection=None, model="anthropic.claude:0"),
        ),
        (
            "/byom/accounts/acme-inc/credentials/all#m@acme",
            MeterName(account="acme-inc", project="acme", credential="all", connection=None, model="m"),
        ),
        (
            "/byom/projects/acme/connections/local#org/model@v2",
            MeterName(account=None, project="acme", credential=None, connection="local", model="org/model"),
        ),
    ],
)
def test_a_meters_name_tells_whose_it_is(meter: str, name: MeterName) -> None:
    assert MeterName.parse(meter) == name


def test_a_name_of_another_kind_is_left_out() -> None:
    assert MeterName.parse("something else") is None
    assert connection_rows([MeterReading(tenant="t", meter="?")], [], [], since=SINCE, lately=hour(1)) == []


def test_a_row_joins_usage_lanes_and_the_meter() -> None:
    lane = replace(busy_lanes()[0], tenant=ACME.tenant, meter=ACME.meter, project="acme", depth=7, oldest_age=30.0)
    found = row(
        ACME,
        (1, {combination(): Sums(attempts=3, queue_wait_ms=900), combination(model="other"): Sums(attempts=100)}),
        (2, {combination(): Sums(attempts=2), combination(project="globex"): Sums(attempts=50)}),
        lanes=(lane, replace(lane, priority="live", depth=1, oldest_age=2.0), replace(lane, meter="/other", depth=99)),
    )

    assert (found.sums.attempts, found.sums.queue_wait_ms) == (5, 900)
    assert (found.depth, found.oldest_age) == (8, 30.0)
    assert (list(found.providers), list(found.projects), list(found.connections)) == (["openai"], ["acme"], ["primary"])


def test_an_accounts_credential_counts_for_all_its_projects() -> None:
    found = row(SHARED, (1, {combination(): Sums(attempts=1), combination(project="beta"): Sums(attempts=2)}))

    assert (found.sums.attempts, list(found.projects)) == (3, ["acme", "beta"])


def test_only_the_last_day_is_counted_and_all_that_is_known_tells_the_credentials_age() -> None:
    found = row(
        ACME,
        (1, {combination(credential_version="2"): Sums(attempts=1)}),
        (40, {combination(credential_version="2"): Sums(attempts=10)}),
        (90, {combination(credential_version="1"): Sums(attempts=100)}),
    )

    assert found.sums.attempts == 1
    assert (found.credential_version, found.credential_since, found.credential_older) == ("2", hour(40), False)


def test_a_credential_that_was_used_as_far_back_as_is_known_may_be_older() -> None:
    found = row(ACME, (1, {combination(): Sums(attempts=1)}), (9, {combination(): Sums(attempts=1)}))

    assert (found.credential_since, found.credential_older) == (hour(9), True)


def test_the_version_that_was_used_last_is_the_one() -> None:
    found = row(
        ACME,
        (
            0,
            {
                combination(credential_version="9"): Sums(attempts=1),
                combination(credential_version="10"): Sums(attempts=1),
            },
        ),
        (5, {combination(credential_version="11"): Sums(attempts=1)}),
    )

    assert found.credential_version == "10"


def test_a_server_without_keys_has_no_credential() -> None:
    keyless = MeterReading(tenant="p/acme", meter="/byom/projects/acme/connections/local#qwen")
    found = row(keyless, (1, {combination(model="qwen", connection="local", credential_version="-"): Sums(attempts=1)}))

    assert (found.name.credential, found.credential_version, list(found.connections)) == (None, None, ["local"])


@pytest.mark.parametrize(
    ("reading", "sums", "depth", "state"),
    [
        (ACME, Sums(), 0, State.IDLE),
        (ACME, Sums(attempts=9, failed=1), 0, State.OK),
        (replace(ACME, in_flight=1), Sums(), 0, State.OK),
        (ACME, Sums(attempts=9), 4, State.BUSY),
        (ACME, Sums(attempts=10, failed=2), 4, State.FAILING),
        (ACME, Sums(attempts=4, failed=4), 0, State.OK),
        (replace(ACME, blocked_by="retry_after"), Sums(attempts=10, failed=9), 4, State.HELD),
        (replace(ACME, breaker="open", blocked_by="breaker"), Sums(attempts=9), 4, State.OPEN),
        (replace(ACME, breaker="half_open"), Sums(attempts=9), 0, State.OPEN),
    ],
)
def test_how_a_connection_fares(reading: MeterReading, sums: Sums, depth: int, state: State) -> None:
    lanes = (replace(busy_lanes()[0], tenant=ACME.tenant, meter=ACME.meter, depth=depth),) if depth else ()
    table = {combination(): sums} if sums.attempts else {}

    assert row(reading, (1, table), lanes=lanes).state is state


def test_what_failed_hours_ago_is_no_illness_any_more() -> None:
    failed, well = {combination(): Sums(attempts=90, failed=90)}, {combination(): Sums(attempts=10)}

    assert row(ACME, (1, well), (2, failed)).state is State.OK
    assert row(ACME, (0, well), (1, failed)).state is State.FAILING
    assert row(ACME, (1, well), (2, failed)).sums.failed == 90


def test_trouble_comes_first() -> None:
    ill = replace(ACME, meter=ACME.meter.replace("main", "ill"), breaker="open")

    assert [found.reading for found in connection_rows([ACME, ill], [], [], since=SINCE, lately=hour(1))] == [ill, ACME]


@pytest.mark.parametrize(("level", "used"), [(90_000, 0.0), (45_000, 0.5), (0, 1.0), (-5_000, 1.0), (99_000, 0.0)])
def test_how_much_of_a_limit_is_used_stays_between_none_and_all(level: float, used: float) -> None:
    limit = Limit(
        name="tokens",
        capacity=90_000,
        per_minute=90_000,
        learned_capacity=90_000,
        learned_per_minute=90_000,
        level=level,
    )

    assert limit.used == used
    assert not limit.is_learned
    assert replace(limit, learned_per_minute=60_000).is_learned
    assert replace(limit, learned_capacity=0).used == 1.0
