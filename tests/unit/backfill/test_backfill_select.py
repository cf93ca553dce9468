"""What to do again is what has no result yet, or one that meets the conditions; the latest counts."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # as above
import pytest

from tasks.contract import parse_job
from workers.backfill.conditions import parse_conditions
from workers.backfill.entries import Entry, entry_id
from workers.backfill.select import ResultsError, Selection


def entry(name: str, *, text: str = "Ana moved.", project: str = "acme") -> Entry:
    job = parse_job({"project": project, "episodes": [{"id": name, "content": text}]})
    return Entry(number=1, id=entry_id(job), job=job)


def result(*names: str, version: str = "1", model: str = "gpt-6-luna", project: str = "acme") -> dict[str, Any]:
    provenance = {"prompt_version": version, "schema_version": "1", "provider": "openai", "model": model}
    return {
        "job_id": "j",
        "project": project,
        "status": "succeeded",
        "episodes": [{"episode_id": name} for name in names],
        "provenance": [provenance],
    }


def done(name: str, **changes: Any) -> dict[str, Any]:
    """A line of a sink."""
    return {
        "line": 1,
        "id": entry(name).id,
        "episode_ids": [name],
        "status": "succeeded",
        "result": result(name, **changes),
    }


def failed(name: str) -> dict[str, Any]:
    return {"line": 1, "id": entry(name).id, "status": "failed", "failure": {"code": "provider_unavailable"}}


def selection(folder: Path, *lines: dict[str, Any], where: str | None = None) -> Selection:
    path = folder / "results.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Selection.read([str(path)], where=parse_conditions(where) if where else None)


def wanted(chosen: Selection, *names: str) -> list[str]:
    return [name for name in names if chosen.wants(entry(name))]


def test_without_earlier_results_everything_is_wanted() -> None:
    assert wanted(Selection(), "e1", "e2") == ["e1", "e2"]


def test_what_has_a_result_is_not_wanted_and_what_failed_is(tmp_path: Path) -> None:
    assert wanted(selection(tmp_path, done("e1"), failed("e2")), "e1", "e2", "e3") == ["e2", "e3"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("prompt_version<2", ["old", "failed", "new-one"]),
        ("prompt_version<2,model=other", ["new-one"]),
        ("model=other", ["other", "new-one"]),
        ("status=failed", ["failed", "new-one"]),
        ("prompt_version<2,status!=failed", ["old", "new-one"]),
    ],
)
def test_what_meets_the_conditions_is_wanted_again(tmp_path: Path, where: str, expected: list[str]) -> None:
    lines = [done("old"), done("other", version="2", model="other"), done("fresh", version="2"), failed("failed")]

    assert wanted(selection(tmp_path, *lines, where=where), "old", "other", "fresh", "failed", "new-one") == expected


def test_the_latest_result_counts(tmp_path: Path) -> None:
    lines = [failed("e1"), done("e1"), done("e2"), failed("e2"), done("e3", version="2"), done("e3", version="1")]

    assert wanted(selection(tmp_path, *lines, where="prompt_version<2,status!=failed"), "e1", "e2", "e3") == [
        "e1",
        "e3",
    ]
    assert wanted(selection(tmp_path, *lines), "e1", "e2", "e3") == ["e2"]


def test_any_of_several_models_that_contributed_is_enough(tmp_path: Path) -> None:
    line = done("e1", version="2")
    line["result"]["provenance"].append({"prompt_version": "1", "model": "gpt-6-luna"})

    assert wanted(selection(tmp_path, line, where="prompt_version<2"), "e1") == ["e1"]
    # Of one and the same, not of each another.
    line["result"]["provenance"][1]["model"] = "other"
    assert wanted(selection(tmp_path, line, where="prompt_version<2,model=gpt-6-luna"), "e1") == []


def test_a_line_whose_content_changed_is_a_new_one(tmp_path: Path) -> None:
    chosen = selection(tmp_path, done("e1"))

    assert not chosen.wants(entry("e1"))
    assert chosen.wants(entry("e1", text="Ana moved to Porto."))
    assert chosen.wants(entry("e1", project="globex"))


def test_results_without_ids_are_known_by_their_episodes(tmp_path: Path) -> None:
    chosen = selection(tmp_path, result("e1", "e2"), {"job_id": "j", "status": "failed", "failure": {}})

    assert wanted(chosen, "e1", "e2", "e3") == ["e3"]
    assert chosen.wants(entry("e1", project="globex"))


def test_a_job_is_wanted_if_one_of_its_episodes_is(tmp_path: Path) -> None:
    job = parse_job({"project": "acme", "episodes": [{"id": "e1", "content": "x"}, {"id": "e2", "content": "y"}]})
    both = Entry(number=1, id=entry_id(job), job=job)

    assert selection(tmp_path, result("e1")).wants(both)
    assert not selection(tmp_path, result("e1"), result("e2")).wants(both)


def test_a_folder_of_parquet_is_read_with_what_is_not_in_it_yet(tmp_path: Path) -> None:
    folder = tmp_path / "results.parquet"
    folder.mkdir()
    rows = [{**line, "result": json.dumps(line["result"])} for line in (done("e1"), done("e2", version="2"))]
    pq.write_table(pa.Table.from_pylist(rows), folder / "part-00000.parquet")
    (folder / "_lines-00001.jsonl").write_text(json.dumps(done("e3", version="2")) + "\n")

    chosen = Selection.read([str(folder)], where=parse_conditions("prompt_version<2"))

    assert wanted(chosen, "e1", "e2", "e3", "e4") == ["e1", "e4"]


@pytest.mark.parametrize("line", ["secret", '{"secret": 1}', '{"status": "secret"}', '{"id": "secret"}', "[]"])
def test_what_is_no_result_is_refused_and_not_repeated(tmp_path: Path, line: str) -> None:
    (tmp_path / "results.jsonl").write_text(json.dumps(done("e1")) + "\n" + line + "\n")

    with pytest.raises(ResultsError, match=r"line 2 of .* is no result") as refused:
        Selection.read([str(tmp_path / "results.jsonl")])
    assert "secret" not in str(refused.value)
