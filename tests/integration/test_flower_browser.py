"""The pages in a real browser: keyboard, narrow screens, both themes, and what they look like.

With `BYOM_SCREENSHOTS=DIRECTORY` the pictures are kept there. The upper parts of two of them, with 256 colours, are in
`docs/images`: `usage-light-wide` (1,130 pixels of height) and `providers-dark-wide` (900).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Request, ViewportSize, expect, sync_playwright

from tests.monitoring import LOGIN, Site, boards, busy_failures, busy_hours, busy_lanes, busy_meters, site
from workers.lanes.views import Pause
from workers.monitoring.pool.lanes import MemoryLanes
from workers.monitoring.pool.meters import MemoryMeters

pytestmark = pytest.mark.integration

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
if CHROMIUM is None:
    pytest.skip("no Chromium is installed here (`apt-get install chromium`)", allow_module_level=True)

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 360, "height": 740}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAGES = ("usage", "providers", "lanes")

#: The least contrast of text to what is behind it, as computed in the page itself: WCAG's AA.
CONTRAST = """() => {
    const parse = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length < 4 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const poor = [];
    for (const element of document.querySelectorAll('main *')) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.checkVisibility() || element.closest('.visually-hidden, svg')) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${element.className} ${element.textContent.trim().slice(0, 30)}: ${ratio}`);
    }
    return poor;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@dataclass(frozen=True, slots=True)
class Show:
    """Flower with a busy pool, and a window on it that keeps what it loaded."""

    site: Site
    lanes: MemoryLanes
    window: BrowserContext


@pytest.fixture(scope="module")
def show(browser: Browser) -> Iterator[Show]:
    lanes = MemoryLanes(busy_lanes())
    given = boards(busy_hours(), meters=MemoryMeters(busy_meters()), lanes=lanes, failures=busy_failures())
    # As far back as credentials are told to be used.
    given.book.span(timedelta(days=7))
    with site(given) as started:
        window = browser.new_context(
            http_credentials={"username": LOGIN[0], "password": LOGIN[1]},
            color_scheme="light",
            reduced_motion="reduce",
            base_url=started.url,
        )
        yield Show(started, lanes, window)
        window.close()


@pytest.fixture
def lanes(show: Show) -> MemoryLanes:
    """One project is paused, whatever others did."""
    for pause in show.lanes.pauses():
        show.lanes.resume(project=pause.project)
    show.lanes.pause(project="fabrikam", priority="live")
    return show.lanes


class Visit:
    """One tab, and all that the page complained of or asked others for."""

    def __init__(self, window: BrowserContext, url: str) -> None:
        self.page = window.new_page()
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self._own = (url, "data:")
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self._own):
            self.elsewhere.append(request.url)


@pytest.fixture
def visit(show: Show, lanes: MemoryLanes) -> Iterator[Callable[..., Visit]]:
    opened: list[Visit] = []

    def go(size: ViewportSize = WIDE) -> Visit:
        opened.append(Visit(show.window, show.site.url))
        opened[-1].page.set_viewport_size(size)
        return opened[-1]

    yield go
    for one in opened:
        one.page.close()


Go = Callable[..., Visit]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_every_screen_can_be_read_in_both_themes_and_loads_nothing_from_elsewhere(
    visit: Go, name: str
) -> None:
    tab = visit()
    tab.page.goto(f"/{name}")
    for width, size in (("wide", WIDE), ("narrow", NARROW)):
        for scheme in SCHEMES:
            tab.page.set_viewport_size(size)
            tab.page.emulate_media(color_scheme=scheme)
            expect(tab.page.locator("html")).to_have_attribute("data-bs-theme", scheme)
            # Nothing is wider than the screen; wide tables scroll in themselves.
            assert tab.page.evaluate("document.documentElement.scrollWidth") == size["width"], (width, scheme)
            assert tab.page.evaluate(CONTRAST) == [], (width, scheme)
            if folder := os.environ.get("BYOM_SCREENSHOTS"):
                tab.page.screenshot(path=Path(folder) / f"{name}-{scheme}-{width}.png", full_page=True)

    assert tab.complaints == []
    assert tab.elsewhere == []


def test_flowers_own_pages_lead_to_ours_and_back(visit: Go) -> None:
    tab = visit()
    tab.page.goto("/tasks")
    tab.page.get_by_role("link", name="Usage").click()
    expect(tab.page).to_have_title("Usage · Flower")
    expect(tab.page.locator("nav [aria-current=page]")).to_have_text("Usage")
    tab.page.get_by_role("link", name="Tasks").click()
    expect(tab.page).to_have_title("Tasks · Flower")


def test_on_a_narrow_screen_the_pages_are_in_the_menu(visit: Go) -> None:
    tab = visit(NARROW)
    tab.page.goto("/usage")
    link = tab.page.get_by_role("link", name="Lanes", exact=True)
    expect(link).to_be_hidden()
    tab.page.get_by_role("button", name="Toggle navigation").click()
    link.click()

    expect(tab.page.get_by_role("heading", name="Lanes")).to_be_visible()
    # A line is a card there, and still a table to those who have it read to them.
    expect(tab.page.get_by_role("row")).to_have_count(1 + len(busy_lanes()))
    expect(tab.page.get_by_role("button", name="Pause backfill jobs of contoso on extract.gemini")).to_be_visible()


def test_usage_is_looked_into_by_keyboard_alone(visit: Go) -> None:
    tab = visit()
    tab.page.goto("/usage")
    tab.page.get_by_role("button", name="Show").focus()
    for _ in range(12):
        tab.page.keyboard.press("Tab")
        if tab.page.evaluate("document.activeElement.textContent") == "hooli":
            break
    outline = tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**project=hooli**")

    assert outline == "solid"
    expect(tab.page.get_by_role("heading", name="By provider")).to_be_visible()
    assert tab.page.get_by_role("rowheader").all_inner_texts()[:2] == ["openai", "gemini"]


def test_a_form_shows_another_time_and_another_sum(visit: Go) -> None:
    tab = visit()
    tab.page.goto("/usage")
    tab.page.get_by_label("Time").select_option("7d")
    tab.page.get_by_label("Sum by").select_option("provider")
    tab.page.get_by_role("button", name="Show").click()

    expect(tab.page.get_by_role("heading", name="By provider")).to_be_visible()
    expect(tab.page.get_by_role("img", name="Spend per day")).to_be_visible()


def test_the_csv_is_a_download(visit: Go, tmp_path: Path) -> None:
    tab = visit()
    tab.page.goto("/usage?by=model")
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Download as CSV").click()

    assert download.value.suggested_filename == "usage-by-model-24h.csv"
    download.value.save_as(tmp_path / "usage.csv")
    assert (tmp_path / "usage.csv").read_text(encoding="utf-8").startswith("model,attempts,")


def test_a_lane_is_paused_and_resumed_by_its_buttons(visit: Go, lanes: MemoryLanes) -> None:
    tab = visit()
    tab.page.goto("/lanes?project=contoso")
    tab.page.get_by_role("button", name="Pause backfill jobs of contoso on extract.gemini").click()
    expect(tab.page.get_by_role("status")).to_contain_text("Paused.")
    assert Pause(project="contoso", priority="backfill", queue="extract.gemini") in lanes.pauses()
    # The filter is still on.
    expect(tab.page.locator("#lanes-table tbody tr")).to_have_count(2)

    tab.page.get_by_role("button", name="Resume backfill jobs of contoso").click()
    expect(tab.page.get_by_role("status")).to_have_text("Resumed.")
    assert [pause.project for pause in lanes.pauses()] == ["fabrikam"]
    assert tab.complaints == []


def test_the_enter_key_in_a_weight_sets_it(visit: Go, lanes: MemoryLanes) -> None:
    tab = visit()
    tab.page.goto("/lanes")
    field = tab.page.get_by_role("spinbutton", name="Weight of globex")
    field.fill("4")
    field.press("Enter")
    tab.page.wait_for_url("**done=weight")

    assert {lane.weight for lane in lanes.lanes() if lane.project == "globex"} == {4.0}
    assert [pause.project for pause in lanes.pauses()] == ["fabrikam"]


def test_the_theme_that_is_chosen_holds_on_our_pages_too(visit: Go) -> None:
    tab = visit()
    tab.page.goto("/usage")
    before = tab.page.evaluate("getComputedStyle(document.querySelector('.byom-card')).backgroundColor")
    tab.page.get_by_role("button", name="Select theme").click()
    tab.page.get_by_role("button", name="Dark").click()
    tab.page.goto("/providers")
    theme = tab.page.evaluate("document.documentElement.dataset.bsTheme")
    after = tab.page.evaluate("getComputedStyle(document.querySelector('.byom-card')).backgroundColor")
    tab.page.evaluate("localStorage.clear()")

    assert theme == "dark"
    assert after != before
