from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import benchmarks.__main__ as program
from benchmarks.families import DESIGN, SCALE
from benchmarks.results import Results


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "broker_version", lambda: "Valkey 9.1.2")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(program.app, arguments)


def test_results_are_shown_again_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "results.json"

    ran = command("run", "--only", "tokens", "--repeats", "2", "--json", str(file))
    shown = command("render", str(file))

    assert (ran.exit_code, shown.exit_code) == (0, 0)
    assert shown.stdout == ran.stdout
    assert "python -m benchmarks run --only=tokens --repeats=2" in ran.stdout
    assert [len(line.values) for line in Results.model_validate_json(file.read_bytes()).rows[0].lines] == [2] * 4


def test_a_row_that_cannot_be_measured_ends_with_one(tmp_path: Path) -> None:
    file = tmp_path / "results.json"

    # A hundred episodes are too many for one prompt.
    ran = command("run", "--only", "tokens", "--size", "tokens.packed=100", "--json", str(file))

    assert ran.exit_code == 1
    assert "tokens could not be measured: " in ran.stdout
    assert len(Results.model_validate_json(file.read_bytes()).rows[0].failures) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--only", "nonsense"), "no such row: nonsense; there are cpu-single, "),
        (("run", "--only", "costs"), "no such row: costs; "),
        (("run", "--only", "tokens", "--size", "tokens.jobs=1"), "tokens has no size called jobs; it has packed"),
        (("run", "--only", "tokens", "--size", "ledger.jobs=1"), "row ledger is not measured"),
        (("run", "--only", "tokens", "--size", "tokens"), "write ROW.NAME=NUMBER"),
        (("run", "--only", "tokens", "--size", "tokens.packed=few"), "write ROW.NAME=NUMBER"),
        (("run", "--repeats", "0"), "--repeats"),
        (
            ("render", "nowhere.json"),
            "cannot read nowhere.json: No such file or directory; `python -m benchmarks run --json FILE` measures",
        ),
        (
            ("size", "nowhere.json"),
            "cannot read nowhere.json: No such file or directory; `python -m benchmarks scale --json FILE` measures",
        ),
        (("render", "/"), "cannot read /: Is a directory; "),
        (("run", "--json", "nowhere/r.json"), "cannot write nowhere/r.json: No such file or directory; --json takes "),
    ],
)
def test_a_wrong_command_ends_with_two_and_says_what_is_wrong(arguments: tuple[str, ...], said: str) -> None:
    ended = command(*arguments)

    assert ended.exit_code == 2
    assert said in " ".join(ended.output.split())


def test_results_of_another_kind_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    for content, where in (("{}", "began: "), ("", "the whole: "), ("[", "the whole: ")):
        file.write_text(content, encoding="utf-8")
        refused = command("render", str(file))

        assert refused.exit_code == 2
        assert f"{file} holds no results of this version ({where}" in refused.output
        assert refused.output.count("\n") == 1


def test_a_page_that_cannot_take_the_table_is_named(tmp_path: Path) -> None:
    file, page = tmp_path / "results.json", tmp_path / "page.md"
    command("run", "--only", "tokens", "--repeats", "1", "--json", str(file))

    missing = command("render", str(file), "--into", str(page))
    page.write_bytes(b"\xff")
    foreign = command("render", str(file), "--into", str(page))
    page.write_text("no place", encoding="utf-8")
    without = command("render", str(file), "--into", str(page))

    assert [ended.exit_code for ended in (missing, foreign, without)] == [2] * 3
    assert f"into {page}: No such file" in missing.output
    assert f"into {page}: it is no text in UTF-8" in foreign.output
    assert f"{page}: the page has no place for the table" in without.output


@pytest.mark.parametrize(("name", "rows"), [("run", DESIGN), ("scale", SCALE)])
def test_the_rows_are_listed(name: str, rows: dict[str, object]) -> None:
    listed = command(name, "--list")

    assert listed.exit_code == 0
    assert all(row in listed.stdout for row in rows)


def test_a_page_takes_the_table(tmp_path: Path) -> None:
    file, page = tmp_path / "results.json", tmp_path / "page.md"
    page.write_text("<!-- table: run --><!-- end of table: run -->", encoding="utf-8")
    command("run", "--only", "tokens", "--json", str(file))

    put = [command("render", str(file), "--into", str(page)), command("render", str(file), "--into", str(page))]
    misplaced = command("render", str(file), "--into", str(page), "--name", "other")

    assert [ended.exit_code for ended in put] == [0, 0]
    assert page.read_text(encoding="utf-8").count("| instruction tokens per episode against Graphiti's 3,600 | 1/") == 1
    assert misplaced.exit_code == 2


def test_every_command_has_examples() -> None:
    for name in ("run", "scale", "render", "size"):
        assert f"python -m benchmarks {name}" in command(name, "--help").stdout
