"""The audit log: what is written, and that every kind of tampering shows."""

import json
import multiprocessing
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.credentials import fingerprint
from config.errors import AuditError
from config.settings import Settings
from tests.support import START
from workers.configuration.audit import Audited, AuditLog, Record, audit_path, difference

PAGE = (Path(__file__).parents[3] / "docs" / "credentials.md").read_text(encoding="utf-8")
SECRET = "sk-canary-audit-77d1"


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "byom" / "audit.jsonl", by="ada@desk")


def append(log: AuditLog, number: int = 1, **changes: Any) -> Record:
    return log.append(
        at=START,
        action="credential.activate",
        scope="/byom/projects/acme",
        subject="credentials/main",
        changes={"version": number},
        **changes,
    )


def filled(log: AuditLog, count: int = 5) -> list[bytes]:
    """The lines of a log with a genesis and this many records."""
    for number in range(1, count + 1):
        append(log, number)
    return log.path.read_bytes().splitlines(keepends=True)


def head_path(log: AuditLog) -> Path:
    return log.path.with_name("audit.jsonl.head")


def test_a_record_says_when_who_what_and_how_it_ended(log: AuditLog) -> None:
    append(log, outcome="failed", error="StoreError: throttled")

    genesis, record = log.records()
    assert (genesis.number, genesis.action, genesis.previous) == (0, "genesis", "0" * 64)
    assert (record.number, record.at, record.by) == (1, START, "ada@desk")
    assert (record.scope, record.subject, record.changes) == (
        "/byom/projects/acme",
        "credentials/main",
        {"version": 1},
    )
    assert (record.outcome, record.error) == ("failed", "StoreError: throttled")


def test_a_whole_log_is_found_whole(log: AuditLog) -> None:
    assert log.verify() == Audited(lines=0, head=None)
    lines = filled(log)

    audited = log.verify()

    assert (audited.ok, audited.lines, audited.remark) == (True, len(lines), None)
    assert audited.head is not None
    assert audited.head.number == 5


def altered(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b'"version":2', b'"version":9'), *lines[3:]]


def rewritten(lines: list[bytes]) -> list[bytes]:
    spaced = json.dumps(json.loads(lines[2])).encode() + b"\n"
    return [*lines[:2], spaced, *lines[3:]]


def extended(lines: list[bytes]) -> list[bytes]:
    return [
        *lines[:2],
        lines[2].replace(b'"version":2', b'"version":2,"x":1').replace(b'"by"', b'"z":1,"by"'),
        *lines[3:],
    ]


#: What was done → how, the first line that does not fit, and what is said of it.
TAMPERING: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int, str]] = {
    "a value is altered": (altered, 4, "one of the two was altered"),
    "the last line is altered": (
        lambda lines: [*lines[:5], lines[5].replace(b'"version":5', b'"version":6')],
        7,
        "its end was replaced",
    ),
    "a line is written otherwise": (rewritten, 3, "somebody edited it"),
    "a field is added": (extended, 3, "it is not a record"),
    "a line is removed": (lambda lines: [*lines[:2], *lines[3:]], 3, "1 records before it are missing"),
    "several lines are removed": (lambda lines: [lines[0], *lines[4:]], 2, "3 records before it are missing"),
    "the first line is removed": (lambda lines: lines[1:], 1, "1 records before it are missing"),
    "two lines are swapped": (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3, "are missing"),
    "a line is repeated": (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, "out of order or repeated"),
    "a line is put in": (lambda lines: [*lines[:3], b'{"number":3}\n', *lines[3:]], 4, "it is not a record"),
    "an empty line is put in": (lambda lines: [*lines[:3], b"\n", *lines[3:]], 4, "it is not a record"),
    "the last line is cut off": (lambda lines: lines[:-1], 6, "its end was cut off"),
    "all but the first are cut off": (lambda lines: lines[:1], 2, "its end was cut off"),
    "everything is cut off": (lambda _: [], 1, "its end was cut off"),
    "the last line is cut in the middle": (lambda lines: [*lines[:-1], lines[-1][:40]], 6, "cut off in the middle"),
    "only the last newline is cut off": (lambda lines: [*lines[:-1], lines[-1][:-1]], 6, "cut off in the middle"),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_shows_at_the_first_line_that_does_not_fit(log: AuditLog, how: str) -> None:
    tamper, line, problem = TAMPERING[how]
    log.path.parent.mkdir(parents=True)
    log.path.write_bytes(b"")
    log.path.write_bytes(b"".join(tamper(filled(log))))

    audited = log.verify()

    assert not audited.ok
    assert audited.line == line
    assert audited.problem is not None
    assert problem in audited.problem


def test_an_end_that_was_replaced_by_another_shows(log: AuditLog, tmp_path: Path) -> None:
    lines = filled(log)
    twin = AuditLog(tmp_path / "twin.jsonl", by="ada@desk")
    twin.path.write_bytes(b"".join(lines[:-1]))
    append(twin, 99)

    log.path.write_bytes(twin.path.read_bytes())

    audited = log.verify()
    assert audited.line == len(lines) + 1
    assert "its end was replaced" in str(audited.problem)


def test_without_a_head_the_log_is_checked_and_what_cannot_be_is_said(log: AuditLog) -> None:
    lines = filled(log)
    head_path(log).unlink()
    log.path.write_bytes(b"".join(lines[:-1]))

    audited = log.verify()

    assert audited.ok
    assert "lines that were cut off at the end do not show" in str(audited.remark)


def test_a_head_that_is_known_from_elsewhere_proves_that_nobody_wrote_another_history(log: AuditLog) -> None:
    filled(log)
    before = log.verify().head
    assert before is not None
    append(log, 6)
    assert log.verify(head=before.hash).ok

    for path in (log.path, head_path(log)):
        path.unlink()
    filled(log, 6 + 1)

    assert log.verify().ok is True
    forged = log.verify(head="0123456789" * 6 + "abcd")
    assert not forged.ok
    assert "the log is not the one it was" in str(forged.problem)


def test_what_was_cut_off_stays_visible_although_more_is_written(log: AuditLog) -> None:
    lines = filled(log)
    log.path.write_bytes(b"".join(lines[:-2]))

    append(log, 6)
    append(log, 7)

    audited = log.verify()
    assert (audited.ok, audited.line) == (False, 5)
    assert "2 records before it are missing" in str(audited.problem)


def test_a_log_that_was_removed_stays_missing_although_another_is_begun(log: AuditLog) -> None:
    filled(log)
    log.path.unlink()

    append(log, 6)

    assert (log.verify().ok, log.verify().line) == (False, 1)


def test_a_line_that_a_crash_left_unfinished_is_replaced_by_the_next(log: AuditLog) -> None:
    filled(log)
    with log.path.open("ab") as file:
        file.write(b'{"action":"credential.add","at":"2026')

    append(log, 6)

    audited = log.verify()
    assert (audited.ok, audited.lines) == (True, 7)


def test_a_crash_between_line_and_head_breaks_nothing(log: AuditLog) -> None:
    filled(log)
    head = head_path(log).read_bytes()
    append(log, 6)
    head_path(log).write_bytes(head)

    assert log.verify().ok
    append(log, 7)

    assert (log.verify().ok, log.verify().lines) == (True, 8)


def test_lines_longer_than_what_is_read_at_once_are_chained_too(log: AuditLog) -> None:
    for size in (10, 70_000, 200_000, 10):
        log.append(at=START, action="a", scope="/byom/x", subject="s", changes={"text": "ä" * size})

    assert (log.verify().ok, log.verify().lines) == (True, 5)


def test_a_last_line_that_is_none_of_ours_is_not_written_after(log: AuditLog) -> None:
    filled(log)
    with log.path.open("ab") as file:
        file.write(b"hello\n")

    with pytest.raises(AuditError, match="the last line of the audit log is not a record; run: byom audit verify"):
        append(log)


def test_secrets_are_written_as_fingerprints_wherever_they_are(log: AuditLog) -> None:
    secret = SecretStr(SECRET)

    log.append(at=START, action="a", scope="/byom/x", subject="s", changes={"key": secret, "list": [{"key": secret}]})

    text = log.path.read_text(encoding="utf-8")
    assert SECRET not in text
    assert text.count(f"sha256:{fingerprint(secret)}") == 2


def test_what_is_not_json_is_refused_and_nothing_is_written(log: AuditLog) -> None:
    lines = filled(log)

    with pytest.raises(TypeError, match="takes no bytes"):
        log.append(at=START, action="a", scope="/byom/x", subject="s", changes={"key": b"raw"})

    assert log.path.read_bytes() == b"".join(lines)


def test_text_that_is_no_text_is_written_all_the_same(log: AuditLog) -> None:
    log.append(at=START, action="a", scope="/byom/x", subject="s", changes={"reason": "\udcff"})

    assert log.verify().ok


def test_log_and_head_are_for_their_owner_only(log: AuditLog) -> None:
    os.umask(before := os.umask(0))
    try:
        os.umask(0)
        append(log)
    finally:
        os.umask(before)

    assert {stat.S_IMODE(path.stat().st_mode) for path in (log.path, head_path(log))} == {0o600}
    assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o700


def test_a_log_that_cannot_be_written_says_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    log = AuditLog(tmp_path / "file" / "audit.jsonl", by="ada")

    for attempt in (log.check_writable, lambda: append(log)):
        with pytest.raises(AuditError, match=r"nothing is changed without a record\. Mend that, or set BYOM_AUDIT_LOG"):
            attempt()


def test_a_full_disk_leaves_the_log_as_it_was(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = filled(log)
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: write(file, data[:20], at))

    with pytest.raises(AuditError, match="the disk is full"):
        append(log, 6)

    assert log.path.read_bytes() == b"".join(lines)


def _append_many(path: str, count: int) -> None:
    log = AuditLog(path, by=f"process {os.getpid()}")
    for number in range(count):
        append(log, number)


def test_several_processes_write_one_chain(log: AuditLog) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append_many, args=(str(log.path), 25)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (log.verify().ok, log.verify().lines) == (True, 76)
    assert len({record.by for record in log.records()}) == 3


def test_the_log_is_beside_the_file_store_unless_a_setting_says_otherwise() -> None:
    assert audit_path(Settings()) == Path(".byom/audit.jsonl")
    assert audit_path(Settings(store_url="file:/var/lib/byom/store.json")) == Path("/var/lib/byom/audit.jsonl")
    assert audit_path(Settings(store_url="file:///var/lib/byom/s.json")) == Path("/var/lib/byom/audit.jsonl")
    assert audit_path(Settings(store_url="memory:")) == Path(".byom/audit.jsonl")
    assert audit_path(Settings(audit_log="~/audit.jsonl")) == Path.home() / "audit.jsonl"


def test_the_actor_is_the_setting_or_else_the_user_and_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    monkeypatch.setattr("socket.gethostname", lambda: "desk")

    assert AuditLog.from_settings(Settings(actor="robot")).by == "robot"
    assert AuditLog.from_settings(Settings()).by == "grace@desk"

    def nobody() -> str:
        raise KeyError(1234)

    monkeypatch.setattr("getpass.getuser", nobody)
    assert AuditLog.from_settings(Settings()).by == f"uid {os.getuid()}@desk"


def test_a_difference_names_what_changed_and_nothing_else() -> None:
    before, after = {"model": "a", "order": 1, "labels": {"x": "y"}}, {"model": "b", "labels": {"x": "y"}, "rpm": 3}

    assert difference(before, after) == {
        "model": {"from": "a", "to": "b"},
        "order": {"from": 1, "to": None},
        "rpm": {"from": None, "to": 3},
    }


def test_the_record_shown_in_the_documentation_is_one() -> None:
    match = re.search(r"^```json record\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None

    shown = json.loads(match[1])

    assert Record.model_validate(shown).model_dump(mode="json", exclude_none=True) == shown
