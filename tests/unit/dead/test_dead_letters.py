"""What is kept of jobs that fail, how it is found again, and what goes when."""

import base64
import os
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.errors import SettingsError
from tasks.contract import FailureCode
from tests.support import START
from tests.unit.dead.conftest import TEXT, Bench, attempt, configure, failed, in_part, make_job, succeeded
from workers.alerts import AlertKind
from workers.dead.letter import FailedEpisode, UsedCredential
from workers.dead.sealing import Sealed, Sealing
from workers.dead.shelf import Grip, Limits


async def test_a_job_that_failed_is_kept_with_its_payload_its_history_and_its_cause(bench: Bench) -> None:
    configure(bench.store)
    await bench.jobs.settle(attempt("j"))
    await bench.jobs.keep("j", unit=1, outcome="{}")
    await bench.end("j", failed(), idempotency_key="k", labels={"team": "search"}, priority="backfill")

    [letter] = bench.letters()
    about = letter.about
    assert (about.job_id, about.project, about.account) == ("j", "acme", "acme-inc")
    assert (about.status, about.code, about.message) == ("failed", FailureCode.PROVIDER_UNAVAILABLE, "down")
    assert (about.connection, about.provider, about.model) == ("primary", "openai", "gpt-6-luna")
    assert about.credential == UsedCredential(name="main", version=3)
    assert about.ended_at == START + timedelta(seconds=1)
    assert (about.episodes, about.attempts, about.labels, about.priority) == (1, 1, {"team": "search"}, "backfill")
    assert (letter.replays, letter.replayed_at, letter.key) == (0, None, None)
    contents = bench.shelf.contents(letter, Sealing())
    assert contents is not None
    assert contents.job == {
        "project": "acme",
        "episodes": [{"id": "e1", "content": TEXT}],
        "idempotency_key": "k",
        "labels": {"team": "search"},
        "priority": "backfill",
    }
    assert (contents.units, contents.attempts) == ({1: "{}"}, [attempt("j")])


async def test_telling_twice_keeps_one_letter_as_it_was_first_told(bench: Bench) -> None:
    for _ in range(2):
        await bench.end("j", failed())

    [letter] = bench.letters()
    assert letter.about.ended_at == START + timedelta(seconds=1)
    assert bench.shelf.census().causes == {"provider_unavailable": 1}


async def test_jobs_that_went_well_or_were_cancelled_are_not_dead(bench: Bench) -> None:
    await bench.end("good", succeeded("good"))
    await bench.end("ended", failed(FailureCode.CANCELLED))

    assert bench.letters() == []
    assert bench.left() == []


async def test_of_jobs_done_in_part_those_are_kept_for_which_a_replay_can_do_something(bench: Bench) -> None:
    await bench.end("its doing", in_part("its doing", FailureCode.CONTENT_REFUSED))
    await bench.end("down", in_part("down", FailureCode.CONTENT_REFUSED, FailureCode.PROVIDER_UNAVAILABLE))

    [letter] = bench.letters()
    assert (letter.id, letter.about.status) == ("down", "partial")
    assert letter.about.failed_episodes == [
        FailedEpisode(id="bad1", code=FailureCode.CONTENT_REFUSED),
        FailedEpisode(id="bad2", code=FailureCode.PROVIDER_UNAVAILABLE),
    ]


async def test_without_a_call_the_credential_is_the_one_in_force(bench: Bench) -> None:
    configure(bench.store)
    await bench.end("j", failed(FailureCode.CREDENTIAL_REJECTED))
    [effective] = await bench.directory.chain("acme")
    bench.directory.refuse(effective, 1)
    await bench.end("k", failed(FailureCode.CREDENTIAL_REJECTED))

    assert [letter.about.credential for letter in bench.letters()] == [UsedCredential(name="main", version=1)] * 2


async def test_a_job_of_an_unknown_project_is_kept_too(bench: Bench) -> None:
    await bench.end("j", failed(FailureCode.UNKNOWN_PROJECT, connection=None, provider=None))

    [letter] = bench.letters()
    assert (letter.about.credential, letter.about.connection) == (None, None)


async def test_a_job_that_a_replay_brought_to_a_good_end_is_let_go(bench: Bench) -> None:
    await bench.end("j", failed())
    await bench.jobs.reopen("j", await bench.jobs.kept("j"), ttl=60)
    await bench.end("j", succeeded("j", replays=1))

    assert bench.letters() == []
    assert bench.left() == []


async def test_a_job_whose_replay_failed_is_dead_again_for_its_new_cause(bench: Bench) -> None:
    await bench.end("j", failed())
    [letter] = bench.letters()
    await bench.jobs.reopen("j", await bench.jobs.kept("j"), ttl=60)
    bench.shelf.replayed(letter, now=5)
    assert bench.shelf.census().causes == {}
    await bench.end("j", failed(FailureCode.RATE_LIMITED, replays=1))

    [letter] = bench.letters()
    assert (letter.replays, letter.replayed_at, letter.about.code) == (1, None, FailureCode.RATE_LIMITED)
    assert bench.shelf.census().causes == {"rate_limited": 1}


async def test_a_replay_after_which_nothing_can_be_mended_any_more_is_let_go(bench: Bench) -> None:
    await bench.end("j", in_part("j", FailureCode.CONTENT_REFUSED, FailureCode.PROVIDER_UNAVAILABLE))
    await bench.jobs.reopen("j", await bench.jobs.kept("j"), ttl=60)
    await bench.end("j", in_part("j", FailureCode.CONTENT_REFUSED, replays=1))

    assert bench.letters() == []


async def test_a_late_word_from_before_a_replay_changes_nothing(bench: Bench) -> None:
    await bench.end("j", failed())
    await bench.jobs.reopen("j", await bench.jobs.kept("j"), ttl=60)
    [letter] = bench.letters()
    bench.shelf.replayed(letter, now=5)
    await bench.writer().job_ended(make_job(), "j", failed())
    assert [letter.replayed_at is not None for letter in bench.letters()] == [True]

    await bench.end("j", succeeded("j", replays=1))
    await bench.writer().job_ended(make_job(), "j", failed())

    assert bench.letters() == []


async def test_letters_are_found_by_project_and_time_in_both_orders(bench: Bench) -> None:
    for number in range(6):
        await bench.end(f"j{number}", failed(), project="acme" if number % 2 else "globex")
    second, fifth = START + timedelta(seconds=2), START + timedelta(seconds=5)

    assert bench.ids(size=2) == ["j0", "j1", "j2", "j3", "j4", "j5"]
    assert bench.ids(size=2, newest_first=True) == ["j5", "j4", "j3", "j2", "j1", "j0"]
    assert bench.ids(project="acme") == ["j1", "j3", "j5"]
    assert bench.ids(project="initech") == []
    assert bench.ids(since=second, until=fifth) == ["j1", "j2", "j3"]
    assert bench.ids(since=second, until=fifth, newest_first=True, size=1) == ["j3", "j2", "j1"]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_leave_nothing_out_where_many_ended_at_once(bench: Bench, *, newest_first: bool) -> None:
    for number in range(7):
        bench.clock.seconds = 0
        await bench.end(f"j{number}", failed())
    bench.clock.seconds = 5
    await bench.end("later", failed())

    found = bench.ids(size=2, newest_first=newest_first)

    assert sorted(found) == sorted([*(f"j{number}" for number in range(7)), "later"])


async def test_letters_that_are_thrown_away_while_they_are_read_hide_none(bench: Bench) -> None:
    for number in range(7):
        bench.clock.seconds = 0
        await bench.end(f"j{number}", failed())
    gone = 0
    for page in bench.shelf.pages(size=2):
        gone += bench.shelf.remove([letter.id for letter in page])

    assert gone == 7
    assert bench.left() == []


async def test_of_too_many_the_oldest_give_way_and_that_is_told_once(bench: Bench) -> None:
    writer = bench.writer(Limits(letters=2))
    for number in range(5):
        await bench.end(f"j{number}", failed(), writer=writer)

    assert bench.ids() == ["j3", "j4"]
    assert (bench.shelf.census().letters, bench.shelf.census().dropped) == (2, 3)
    [alert] = bench.alerts.raised
    assert alert.kind is AlertKind.DEAD_LETTERS_DROPPED
    assert "1 failed jobs were dropped" in alert.message

    bench.sync.delete("byom:dead:told")
    await bench.end("j5", failed(), writer=writer)
    assert "3 failed jobs were dropped" in bench.alerts.raised[-1].message


async def test_of_too_many_bytes_the_oldest_give_way(bench: Bench) -> None:
    await bench.end("j0", failed())
    one = bench.shelf.census().bytes
    writer = bench.writer(Limits(size=2 * one + 10))
    for number in range(1, 4):
        await bench.end(f"j{number}", failed(), writer=writer)

    assert bench.ids() == ["j2", "j3"]
    assert bench.shelf.census().bytes == 2 * one


async def test_a_letter_that_is_larger_than_all_that_is_kept_pushes_nobody_out(bench: Bench) -> None:
    await bench.end("small", failed())
    size = bench.shelf.census().bytes
    large = [{"id": "e1", "content": "x" * 10_000}]
    await bench.end("large", failed(), writer=bench.writer(Limits(size=size + 100)), episodes=large)

    assert bench.ids() == ["small"]
    assert bench.shelf.census().dropped == 1


async def test_what_is_too_old_goes_with_the_next_or_when_somebody_looks(bench: Bench) -> None:
    for number in range(3):
        await bench.end(f"j{number}", failed())
    bench.clock.seconds = 61.5
    await bench.end("new", failed(), writer=bench.writer(Limits(ttl=60)))

    assert bench.ids() == ["j2", "new"]
    assert bench.shelf.expire(before=(START + timedelta(seconds=1_000)).timestamp()) == 2
    assert bench.left() == []
    assert bench.shelf.census().expired == 4


async def test_what_customers_said_goes_by_itself(bench: Bench) -> None:
    await bench.end("j", failed(), writer=bench.writer(Limits(ttl=60)))

    assert 0 < int(bench.sync.ttl("byom:dead:job:j")) <= 60
    bench.sync.delete("byom:dead:job:j")
    assert bench.letters() == []
    assert bench.shelf.claim(["j"], now=0, seconds=60) == [Grip.GONE]
    assert bench.shelf.remove(["j"]) == 1
    assert bench.left() == []


KEY, OTHER = os.urandom(32), os.urandom(32)


async def test_with_a_key_nothing_of_what_was_said_can_be_read(bench: Bench) -> None:
    await bench.jobs.keep("j", unit=1, outcome=f'{{"evidence": "{TEXT}"}}')
    await bench.end("j", failed(), writer=bench.writer(sealing=Sealing(KEY)))

    [letter] = bench.letters()
    everything = repr(bench.sync.hgetall("byom:dead:job:j"))
    assert TEXT not in everything
    assert "primary" in everything
    for sealing in (Sealing(KEY), Sealing(OTHER, KEY)):
        contents = bench.shelf.contents(letter, sealing)
        assert contents is not None
        assert (contents.job["episodes"][0]["content"], list(contents.units)) == (TEXT, [1])
    for sealing in (Sealing(), Sealing(OTHER)):
        with pytest.raises(Sealed, match="which is not in BYOM_DEAD_LETTER_KEY"):
            bench.shelf.contents(letter, sealing)


async def test_what_is_kept_of_one_job_is_not_taken_for_that_of_another(bench: Bench) -> None:
    writer = bench.writer(sealing=Sealing(KEY))
    for job_id in ("j", "k"):
        await bench.end(job_id, failed(), writer=writer)
    stolen = bench.sync.hget("byom:dead:job:k", "sealed")
    assert stolen is not None
    bench.sync.hset("byom:dead:job:j", "sealed", stolen)

    with pytest.raises(Sealed, match="was altered, or belongs to another job"):
        bench.shelf.contents(bench.letters()[0], Sealing(KEY))


def test_keys_are_read_from_a_setting() -> None:
    text = ",".join(base64.b64encode(key).decode() for key in (KEY, OTHER))
    sealed, name = Sealing.of(SecretStr(text)).seal("said", job_id="j")

    assert Sealing(KEY).open(sealed, key=name, job_id="j") == "said"
    assert Sealing.of(None).seal("said", job_id="j") == ("said", "")
    with pytest.raises(SettingsError, match="BYOM_DEAD_LETTER_KEY must be 32 bytes as base64") as error:
        Sealing.of(SecretStr("secret"))
    assert "secret" not in str(error.value)


async def test_a_letter_is_in_one_hand_until_that_lets_go_or_dies(bench: Bench) -> None:
    await bench.end("j", failed())
    [letter] = bench.letters()

    assert bench.shelf.claim(["j", "k"], now=100, seconds=60) == [Grip.CLAIMED, Grip.GONE]
    assert bench.shelf.claim(["j"], now=159, seconds=60) == [Grip.BUSY]
    bench.shelf.leave(letter)
    assert bench.shelf.claim(["j"], now=159, seconds=60) == [Grip.CLAIMED]
    assert bench.shelf.claim(["j"], now=220, seconds=60) == [Grip.CLAIMED]

    assert bench.shelf.replayed(letter, now=221)
    assert bench.shelf.claim(["j"], now=300, seconds=60) == [Grip.REPLAYED]
    assert bench.shelf.claim(["j"], now=300, seconds=60, again=True) == [Grip.CLAIMED]


async def test_a_letter_that_is_on_its_way_is_not_among_the_dead_of_its_cause(bench: Bench) -> None:
    await bench.end("j", failed())
    await bench.end("k", failed())
    bench.shelf.replayed(bench.letters()[0], now=5)
    assert bench.shelf.census().causes == {"provider_unavailable": 1}

    assert bench.shelf.remove(["j"]) == 1
    assert bench.shelf.census().causes == {"provider_unavailable": 1}


async def test_a_replay_that_an_operator_ended_leaves_a_dead_letter_for_the_next_one(bench: Bench) -> None:
    await bench.end("j", failed())
    [letter] = bench.letters()
    bench.shelf.replayed(letter, now=5)

    bench.shelf.recall("j", replays=1)
    bench.shelf.recall("nobody", replays=1)

    [recalled] = bench.letters()
    assert (recalled.replays, recalled.replayed_at) == (1, None)
    assert bench.shelf.census().causes == {"provider_unavailable": 1}
    assert bench.shelf.contents(recalled, Sealing()) is not None
    assert not bench.shelf.replayed(letter, now=6)


STEP = st.tuples(
    st.sampled_from(["fail", "replay", "succeed", "remove", "claim", "recall", "expire"]),
    st.integers(min_value=0, max_value=3),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=25))
async def test_whatever_happens_the_books_agree_with_the_letters(steps: list[tuple[str, int]]) -> None:
    import fakeredis  # noqa: PLC0415 - the fixture is for one example, and there are many here

    server = fakeredis.FakeServer()
    async with fakeredis.FakeAsyncRedis(server=server) as client:
        bench = Bench(client=client, sync=fakeredis.FakeRedis(server=server))
        codes = [FailureCode.RATE_LIMITED, FailureCode.INTERNAL]
        for step, number in steps:
            job_id = f"j{number}"
            replays = (await bench.jobs.kept(job_id)).replays
            match step:
                case "fail":
                    writer = bench.writer(Limits(letters=3))
                    await bench.end(job_id, failed(codes[number % 2], replays=replays), writer=writer)
                case "succeed":
                    await bench.end(job_id, succeeded(job_id, replays=replays))
                case "replay":
                    for letter in bench.shelf.some([job_id]):
                        await bench.jobs.reopen(job_id, await bench.jobs.kept(job_id), ttl=60)
                        bench.shelf.replayed(letter, now=bench.clock.seconds)
                case "remove":
                    bench.shelf.remove([job_id])
                case "claim":
                    bench.shelf.claim([job_id], now=bench.clock.seconds, seconds=5)
                case "recall":
                    bench.shelf.recall(job_id, replays=replays)
                case "expire":
                    bench.shelf.expire(before=(START + timedelta(seconds=bench.clock.seconds - 4)).timestamp())
        letters, census = bench.letters(), bench.shelf.census()
        dead = [str(letter.about.code) for letter in letters if letter.replayed_at is None]
        assert census.letters == len(letters) <= 3
        assert census.causes == {code: dead.count(code) for code in dead}
        assert (census.bytes == 0) is (letters == [])
        assert bench.ids(project="acme") == [letter.id for letter in letters]
        bench.shelf.remove([letter.id for letter in letters])
        assert bench.left() == []
