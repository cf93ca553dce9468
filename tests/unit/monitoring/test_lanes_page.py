"""The controls of lanes: who may use them, and what they do."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from tests.monitoring import Site, boards, busy_lanes, site
from workers.lanes.views import Pause
from workers.monitoring.pool.lanes import MemoryLanes

CONTOSO = {"project": "contoso", "priority": "backfill", "queue": "extract.gemini"}


@pytest.fixture
def lanes() -> MemoryLanes:
    return MemoryLanes(busy_lanes())


@pytest.fixture
def running(lanes: MemoryLanes) -> Iterator[Site]:
    with site(boards(lanes=lanes)) as started:
        yield started


def test_jobs_behind_earlier_ones_of_their_session_are_shown_and_counted() -> None:
    behind = [replace(lane, depth=3, behind=39) for lane in busy_lanes()[:1]]
    with site(boards(lanes=MemoryLanes(behind))) as running:
        page = " ".join(running.get("/lanes").text.split())

    assert '3 <span title="behind earlier jobs of their sessions">+ 39</span>' in page
    assert ">42<" in page.replace(" ", "")


def test_a_lane_is_paused_and_resumed(running: Site, lanes: MemoryLanes) -> None:
    paused = running.post("/lanes", action="pause", back_project="contoso", **CONTOSO)

    assert paused.status_code == 303
    assert paused.headers["Location"] == "/lanes?project=contoso&done=pause"
    assert lanes.pauses() == [Pause(**CONTOSO)]
    page = running.get("/lanes", project="contoso", done="pause").text
    assert 'role="status">Paused.' in page
    assert 'aria-label="Resume backfill jobs of contoso"' in page

    running.post("/lanes", action="resume", project="contoso", priority="backfill", queue="")

    assert lanes.pauses() == []


def test_a_project_is_woken(running: Site, lanes: MemoryLanes) -> None:
    running.post("/lanes", action="wake", project="umbrella", priority="live", queue="extract.vertex")

    (lane,) = [lane for lane in lanes.lanes() if lane.project == "umbrella"]
    assert (lane.why, lane.next_release) == (None, 0)


def test_a_project_gets_another_weight(running: Site, lanes: MemoryLanes) -> None:
    running.post("/lanes", action="weight", project="contoso", weight="2.5")

    assert {lane.weight for lane in lanes.lanes() if lane.project == "contoso"} == {2.5}


@pytest.mark.parametrize(
    "form",
    [
        {"action": "delete", "project": "contoso"},
        {"action": "pause", "project": ""},
        {"action": "pause", "project": "contoso", "priority": "urgent"},
        {"action": "weight", "project": "contoso", "weight": "heavy"},
        {"action": "weight", "project": "contoso", "weight": "0"},
        {"action": "weight", "project": "contoso", "weight": "nan"},
        {"action": "pause", "project": "a\tb"},
        {"action": "pause", "project": "x" * 1_001},
        {},
    ],
)
def test_what_makes_no_sense_changes_nothing(running: Site, lanes: MemoryLanes, form: dict[str, str]) -> None:
    before = lanes.lanes()

    assert running.post("/lanes", **form).status_code == 400
    assert (lanes.lanes(), lanes.pauses()) == (before, [])


def test_a_form_from_elsewhere_is_refused(running: Site, lanes: MemoryLanes) -> None:
    form = {"action": "pause", **CONTOSO}
    running.get("/lanes")
    token = running.client.cookies["_xsrf"]
    without_token = running.client.post("/lanes", data=form)
    wrong_token = running.client.post("/lanes", data={**form, "_xsrf": "2|x|y|1"})
    other_site = running.client.post("/lanes", data={**form, "_xsrf": token}, headers={"Sec-Fetch-Site": "cross-site"})
    other_origin = running.client.post("/lanes", data={**form, "_xsrf": token}, headers={"Origin": "https://evil.test"})
    # Without a login of any kind, the token alone opens nothing.
    stranger = httpx.post(f"{running.url}/lanes", data={**form, "_xsrf": token}, cookies={"_xsrf": token})

    refused = [answer.status_code for answer in (without_token, wrong_token, other_site, other_origin)]
    assert refused == [403] * 4
    assert stranger.status_code == 401
    assert lanes.pauses() == []


def test_where_no_login_is_wanted_a_form_still_needs_its_token(lanes: MemoryLanes) -> None:
    with site(boards(lanes=lanes), basic_auth=[]) as running:
        assert running.stranger.post("/lanes", data={"action": "pause", **CONTOSO}).status_code == 403
        assert lanes.pauses() == []
        assert running.post("/lanes", action="pause", **CONTOSO).status_code == 303


def test_a_flower_that_is_read_only_has_no_controls(lanes: MemoryLanes) -> None:
    with site(boards(lanes=lanes), read_only=True) as running:
        assert '<form method="post"' not in running.get("/lanes").text
        running.get("/workers")
        token = {"_xsrf": running.client.cookies.get("_xsrf", "")}
        answer = running.client.post("/lanes", data={"action": "pause", **CONTOSO, **token})

    assert answer.status_code == 403
    assert lanes.pauses() == []


def test_what_is_said_of_a_change_is_one_of_our_own_sentences(running: Site) -> None:
    assert 'role="status"' not in running.get("/lanes", done="<b>Click here</b>").text


def test_the_enter_key_in_a_weight_sets_the_weight_and_nothing_else(running: Site) -> None:
    page = running.get("/lanes").text
    forms = [form for form in page.split("<form")[1:] if 'name="weight"' in form.split("</form>")[0]]

    assert len(forms) == len(busy_lanes())
    for form in forms:
        assert form.split("</form>")[0].count("<button") == 1
