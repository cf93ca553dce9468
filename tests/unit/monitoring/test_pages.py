"""The pages, over HTTP."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis

from config.prices import PICO
from tests.monitoring import (
    LOGIN,
    Site,
    boards,
    busy_failures,
    busy_hours,
    busy_lanes,
    busy_meters,
    combination,
    hour,
    site,
)
from workers.monitoring.pool.lanes import MemoryLanes
from workers.monitoring.pool.meters import MemoryMeters
from workers.monitoring.usage.sums import FailedKind, Sums, Table

PAGES = ("/usage", "/providers", "/lanes")
#: What needs a login.
GUARDED = (*PAGES, "/usage.csv", "/metrics")


def text_of(page: httpx.Response) -> str:
    """What a person reads."""
    assert page.status_code == 200, page.text
    body = re.sub(r"<svg.*?</svg>|<script.*?</script>", " ", page.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def table(page: httpx.Response, name: str) -> list[list[str]]:
    """The cells of a table's body."""
    found = re.search(rf'<table[^>]*id="{name}".*?<tbody[^>]*>(.*?)</tbody>', page.text, re.DOTALL)
    assert found, page.text
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", found.group(1), re.DOTALL)
    return [
        [
            re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", cell)).strip()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        ]
        for row in rows
    ]


@pytest.fixture(scope="module")
def busy() -> Iterator[Site]:
    """A pool with something to show everywhere; nobody changes it."""
    lanes = MemoryLanes(busy_lanes())
    lanes.pause(project="fabrikam", priority="live")
    lanes.pause(project="idle-project", priority="backfill", queue="extract.openai")
    given = boards(busy_hours(), meters=MemoryMeters(busy_meters()), lanes=lanes, failures=busy_failures())
    with site(given) as running:
        yield running


@pytest.mark.parametrize("path", GUARDED)
def test_nobody_sees_anything_without_a_login(busy: Site, path: str) -> None:
    wrong = httpx.get(f"{busy.url}{path}", auth=(LOGIN[0], "wrong"))

    assert busy.stranger.get(path).status_code == wrong.status_code == 401
    assert "northwind" not in busy.stranger.get(path).text
    assert busy.stranger.get(path).headers["WWW-Authenticate"].startswith("Basic")
    assert busy.get(path).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
def test_nobody_does_anything_without_a_login(busy: Site, method: str) -> None:
    assert busy.stranger.request(method, "/lanes").status_code in {401, 403}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_stands_in_flowers_navigation_and_is_marked_there(busy: Site, path: str) -> None:
    page = busy.get(path)
    bar = page.text[page.text.index("<nav") : page.text.index("</nav>")]

    assert re.findall(r'href="(/[a-z]+)"', bar) == ["/workers", "/tasks", "/broker", "/usage", "/providers", "/lanes"]
    assert re.search(rf'href="{path}" aria-current="page"', bar)
    assert bar.count("aria-current") == 1


def test_flowers_own_pages_lead_to_ours(busy: Site) -> None:
    for path in ("/workers", "/tasks"):
        assert 'href="/usage"' in busy.get(path).text


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_kept_to_themselves(busy: Site, path: str) -> None:
    headers = busy.get(path).headers

    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_the_style_sheet_has_an_address_of_its_own_version(busy: Site) -> None:
    address = re.findall(r'href="(/byom/byom\.css\?v=[0-9a-f]{12})"', busy.get("/usage").text)

    assert len(address) == 1
    assert busy.get(address[0]).headers["Content-Type"].startswith("text/css")
    assert busy.get("/byom/../server.py").status_code in {403, 404}


def test_usage_shows_sums_shares_and_causes(busy: Site) -> None:
    page = busy.get("/usage")
    text = text_of(page)

    rows = table(page, "usage-table")
    assert {row[0] for row in rows} == {
        "northwind", "contoso", "fabrikam", "globex", "initech", "umbrella", "hooli",
        "stark-industries-memories-production",
    }  # fmt: skip
    assert next(row for row in rows if row[0].startswith("stark"))[1] == "unknown"
    assert "attempts at an unknown price are not in it" in text
    causes = {row[0]: row[1:3] for row in table(page, "causes-table")}
    assert causes.keys() == {"provider_unavailable", "rate_limited"}
    for count, done in causes.values():
        assert done in {f"{count} fall back", f"{count} wait"}
    # Every failed attempt of the table has its cause.
    total = sum(sums.failed for back in range(24) for sums in busy_hours().get(hour(back), {}).values())
    assert sum(int(count.replace(",", "")) for count, _ in causes.values()) == total > 0
    assert "the cause is not known" not in text
    assert page.text.count('<svg class="byom-chart"') == 2


def test_failures_that_older_workers_did_not_sum_by_cause_are_told_apart() -> None:
    older = {hour(5): {combination(): Sums(attempts=9, failed=4)}}
    newer = {hour(5): {FailedKind("rate_limited", "retry", combination()): Sums(attempts=1, failed=1)}}
    with site(boards(older, failures=newer)) as running:
        text = text_of(running.get("/usage"))

    assert "Of 3 failed attempts the cause is not known" in text


def test_where_nothing_failed_the_page_says_so() -> None:
    with site(boards({hour(5): {combination(): Sums(attempts=9)}})) as running:
        assert "No attempt failed in this time." in text_of(running.get("/usage"))


def test_a_click_on_a_row_leads_into_it_and_a_filter_can_be_taken_away(busy: Site) -> None:
    page = busy.get("/usage")
    into = re.findall(r'<th scope="row"><a href="(\?[^"]*project=hooli[^"]*)"', page.text)
    inside = busy.get("/usage" + into[0].replace("&amp;", "&"))
    back = re.findall(r'<li><a href="(\?[^"]*)"', inside.text)

    assert [row[0] for row in table(inside, "usage-table")] == ["openai", "gemini"]
    assert "Project: hooli" in re.sub(r"\s+", " ", text_of(inside))
    assert len(table(busy.get("/usage" + back[0].replace("&amp;", "&")), "usage-table")) == 8


@pytest.mark.parametrize("span", ["24h", "48h", "7d", "30d"])
def test_page_and_csv_say_the_same(busy: Site, span: str) -> None:
    page = table(busy.get("/usage", span=span, by="provider", sort="attempts"), "usage-table")
    csv = busy.get("/usage.csv", span=span, by="provider", sort="attempts")

    lines = [line.split(",") for line in csv.text.splitlines()]
    assert csv.headers["Content-Type"].startswith("text/csv")
    assert f'filename="usage-by-provider-{span}.csv"' in csv.headers["Content-Disposition"]
    assert [(line[0], f"{int(line[1]):,}") for line in lines[1:]] == [(row[0], row[2]) for row in page]


@pytest.mark.parametrize("path", ["/usage", "/usage.csv"])
def test_an_address_that_nobody_links_to_is_refused_with_the_mend(busy: Site, path: str) -> None:
    page = busy.get(path, by="password")

    assert page.status_code == 400
    assert "by must be one of project, provider, model" in page.text


def test_providers_show_health_limits_waits_and_credentials(busy: Site) -> None:
    rows = table(busy.get("/providers"), "providers-table")
    ill, held = rows[0], rows[1]
    learned = next(row for row in rows if "fabrikam" in row[0])

    assert len(rows) == 8
    assert ill[0].startswith("openai · gpt-6-luna project hooli, ")
    assert "breaker open" in ill[1]
    assert "provider unavailable, 20 s left" in ill[1]
    assert "for 1 min 15 s" in ill[1]
    assert "held back retry after, 20 s left" in held[1]
    assert "60k tokens/min, declared 90k" in learned[2]
    assert learned[4].startswith("42 jobs")
    # As the page of usage counts them.
    attempts = {row[0]: row[2] for row in table(busy.get("/usage"), "usage-table")}
    assert learned[6].split()[0] == attempts["fabrikam"]
    assert "version 2, used since" in ill[7]


def test_providers_are_counted_by_how_they_fare(busy: Site) -> None:
    page = busy.get("/providers").text
    labels, values = (re.findall(rf'<p class="metric-{part}">([^<]*)</p>', page) for part in ("label", "value"))

    assert labels == ["Breaker open", "Held back", "Failing", "Jobs wait", "Ok"]
    assert sum(map(int, values)) == 8


@pytest.mark.parametrize(
    ("parameters", "lines"),
    [({"state": "open"}, 1), ({"provider": "openai"}, 2), ({"project": "globex"}, 1), ({"project": "nobody"}, 1)],
)
def test_providers_can_be_narrowed(busy: Site, parameters: dict[str, str], lines: int) -> None:
    assert len(table(busy.get("/providers", **parameters), "providers-table")) == lines


def test_lanes_show_why_they_wait_and_for_how_long(busy: Site) -> None:
    rows = {f"{row[0]}": row for row in table(busy.get("/lanes"), "lanes-table")}
    names = list(rows)

    assert names[0].startswith("contoso backfill")
    assert rows[names[0]][1:6] == ["its turn", "18,420", "1 h 15 min", "now", "21.2M"]
    budget = next(row for name, row in rows.items() if name.startswith("umbrella"))
    assert budget[1:5] == ["budget", "21", "7.2 s", "in 1 h 00 min"]
    paused = next(row for name, row in rows.items() if name.startswith("fabrikam"))
    assert (paused[1], paused[4]) == ("paused", "never")
    assert "idle-project · backfill · extract.openai" in text_of(busy.get("/lanes"))


@pytest.mark.parametrize(
    ("parameters", "lines"),
    [({"project": "contoso"}, 2), ({"priority": "backfill"}, 1), ({"queue": "extract.vertex"}, 1)],
)
def test_lanes_can_be_narrowed(busy: Site, parameters: dict[str, str], lines: int) -> None:
    assert len(table(busy.get("/lanes", **parameters), "lanes-table")) == lines


def test_names_are_shown_as_text_whatever_they_are() -> None:
    nasty = "<script>alert(1)</script>&\"'"
    usage: dict[Any, Table] = {hour(0): {combination(model=nasty): Sums(attempts=1)}}
    with site(boards(usage)) as running:
        page = running.get("/usage", by="model")
        filtered = running.get("/usage", by="project", model=nasty)

    for shown in (page, filtered):
        assert shown.status_code == 200
        assert "<script>alert" not in shown.text
        assert "&lt;script&gt;alert(1)" in shown.text


def test_an_empty_pool_says_so() -> None:
    with site(boards()) as running:
        assert "No usage in this time." in text_of(running.get("/usage"))
        assert "A connection shows up here with its first call." in text_of(running.get("/providers"))
        assert "Nothing waits." in text_of(running.get("/lanes"))


class Away:
    """A broker that does not answer, with a password in what its client says."""

    def __getattr__(self, _name: str) -> Any:
        def refuse(*_arguments: Any, **_named: Any) -> Any:
            raise redis.ConnectionError("Error connecting to redis://:hunter2@broker:6379")

        return refuse


@pytest.mark.parametrize("path", [*PAGES, "/usage.csv"])
def test_without_the_broker_a_page_says_so_and_no_secret(
    path: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    away: Any = Away()
    with site(boards(away, failures=away, meters=away, lanes=away)) as running:
        page = running.get(path)
        metrics = running.get("/metrics")

    assert page.status_code == 503
    assert "The broker does not answer" in page.text
    assert "hunter2" not in page.text + metrics.text
    assert 'byom_scrape_ok{source="usage"} 0.0' in metrics.text
    assert "hunter2" not in capsys.readouterr().out + caplog.text


def test_a_page_that_fails_shows_no_traceback() -> None:
    class Broken:
        def lanes(self) -> Any:
            raise RuntimeError("redis://:hunter2@broker")

        pauses = lanes

    broken: Any = Broken()
    with site(boards(lanes=broken), debug=True) as running:
        page = running.get("/lanes")

    assert page.status_code == 500
    assert "This page failed" in page.text
    assert "hunter2" not in page.text


def test_everything_works_below_a_prefix() -> None:
    with site(boards(), url_prefix="tools/flower") as running:
        page = running.get("/tools/flower/usage")
        assert page.status_code == 200
        assert 'href="/tools/flower/lanes"' in page.text
        assert 'action="/tools/flower/usage"' in page.text
        assert running.get("/tools/flower/usage.csv").status_code == 200
        assert running.stranger.get("/tools/flower/usage").status_code == 401


def test_with_oauth_strangers_are_sent_to_the_login_and_change_nothing() -> None:
    with site(boards(), basic_auth=[], auth=".*@example.com") as running:
        page = running.stranger.get("/usage")
        assert page.status_code == 302
        assert page.headers["Location"].startswith("/login")
        assert running.stranger.post("/lanes").status_code == 403


def test_metrics_can_be_opened_for_a_prometheus_without_login() -> None:
    with site(boards(), open_metrics=True) as running:
        assert running.stranger.get("/metrics").status_code == 200
        assert running.stranger.get("/usage").status_code == 401


def test_with_a_thousand_projects_pages_stay_small_and_the_csv_whole() -> None:
    projects = [f"project-{number:04}" for number in range(1_000)]
    hours = {
        hour(back): {combination(project=name): Sums(attempts=1, cost=PICO, input=10) for name in projects}
        for back in range(3)
    }
    meters = [
        type(busy_meters()[0])(tenant=f"p/{name}", meter=f"/byom/projects/{name}/credentials/main#gpt-6-luna")
        for name in projects
    ]
    lane = busy_lanes()[1]
    lanes = [
        type(lane)(**{**{key: getattr(lane, key) for key in lane.__slots__}, "project": name}) for name in projects
    ]
    with site(boards(hours, meters=MemoryMeters(meters), lanes=MemoryLanes(lanes))) as running:
        usage, providers, waiting = (running.get(path) for path in PAGES)
        csv = running.get("/usage.csv")

    assert len(table(usage, "usage-table")) == 100
    assert "900 others" in text_of(usage)
    assert len(csv.text.splitlines()) == 1_001
    assert len(table(providers, "providers-table")) == 100
    assert len(table(waiting, "lanes-table")) == 200
    assert all(len(page.content) < 600_000 for page in (usage, providers, waiting))
    assert usage.elapsed < timedelta(seconds=5)
