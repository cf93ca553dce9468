"""Every block and every command of every page has a check; here are those that need no pool.

`tests/integration/test_docs_commands.py` runs the commands and snippets that `RUN_ELSEWHERE` and `ONLY_READ` leave.
"""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from jsonschema import Draft202012Validator

import benchmarks.__main__ as benchmarks
import tests.chaos.__main__ as chaos
from tasks.contract import ExtractionResult, Failure, JobRefused, json_schema, parse_job
from tasks.contract.events import Event
from tests.pages import PAGES, ROOT, SHELLS, Block, Command, blocks, commands, inline, parsed, paths, text_of
from tests.shown import ONLY_READ, PYTHON_ELSEWHERE, RUN_ELSEWHERE, reason_not_to_run
from workers.backfill.entries import Defaults, Entry, parse_line
from workers.backfill.lines import rows
from workers.backfill.source import Line
from workers.backfill.state.base import Flight, LineRef
from workers.cli.root import app
from workers.configuration.audit import Record
from workers.jobs import Ending
from workers.verification import Verification

BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [command for page in PAGES for command in commands(page)]
#: Those in the text, too.
LINES = [*COMMANDS, *(one for page in PAGES for one in inline(page, "byom", "make", "python -m"))]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
BYOM: Any = typer.main.get_command(app)
BENCHMARKS: Any = typer.main.get_command(benchmarks.app)
CHAOS = typer.Typer()
CHAOS.command()(chaos.main)
#: Variable of the Makefile → what it is given to, and the tree of commands that reads it.
GIVEN_TO = {
    "CHAOS": ("tests.chaos", typer.main.get_command(CHAOS)),
    "BENCH": ("benchmarks run", BENCHMARKS.commands["run"]),
}
#: Modules that are run with words of their own.
MODULES = {"benchmarks": BENCHMARKS}


def check_job(document: dict[str, Any]) -> None:
    parse_job(document)
    Draft202012Validator(json_schema("extraction-job.v1")).validate(document)


def check_result(document: dict[str, Any]) -> None:
    ExtractionResult.model_validate(document)
    Draft202012Validator(json_schema("extraction-result.v1")).validate(document)


def check_failure(document: dict[str, Any]) -> None:
    Failure.model_validate(document["exc_message"][1])
    assert document["exc_message"][0] == document["exc_message"][1]["message"]


def check_refusal(document: dict[str, Any]) -> None:
    assert document["exc_message"][1].keys() == {"code", "problems"}


def check_verification(document: dict[str, Any]) -> None:
    for report in document["reports"]:
        Verification.model_validate({name: report[name] for name in Verification.model_fields})


def check_event(document: dict[str, Any]) -> None:
    Event.model_validate(document)


def check_record(document: dict[str, Any]) -> None:
    Record.model_validate(document)


def check_entry(document: dict[str, Any]) -> None:
    line = Line(number=1, text=json.dumps(document).encode())
    assert isinstance(parse_line(line, Defaults(project="acme")), Entry)


def check_sink(document: dict[str, Any]) -> None:
    line = LineRef(number=1, id="5f0c", episode_ids=("e17",))
    ending = Ending(result=ExtractionResult.model_validate({"job_id": "j", "project": "acme", "status": "succeeded"}))
    (written,) = rows(Flight(job_id="j", lines=(line,), since=0.0), ending)
    assert document.keys() == written.keys()


def check_vector(document: dict[str, Any]) -> None:
    """What is signed is made of the fields above it; `test_docs_signing.py` signs it."""
    stated = {name: document[name] for name in ("payload", "producer", "task")}
    assert json.loads(document["statement"]) == stated
    parse_job(document["payload"])


def check_policy(document: dict[str, Any]) -> None:
    """A document without a label is a policy of AWS; any other has a label."""
    assert document["Version"] == "2012-10-17"
    for statement in document["Statement"]:
        assert {"Effect", "Action"} <= statement.keys()


#: Label of a JSON block → what it has to be. Tests of single pages ask for more, such as that an example is full.
JSON: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "job": check_job,
    "result": check_result,
    "failure": check_failure,
    "refusal": check_refusal,
    "verification": check_verification,
    "event": check_event,
    "record": check_record,
    "entry": check_entry,
    "sink": check_sink,
    "vector": check_vector,
    "": check_policy,
}


def check_json(block: Block) -> None:
    JSON[block.label](json.loads(block.text))


def check_shell(block: Block) -> None:
    """A shell takes it; in a console, what begins with a dollar."""
    script = re.sub(r"^\$ ", "", block.text, flags=re.MULTILINE)
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if block.language == "console":
        assert re.match(r"\$ ", block.text), "begin commands with a dollar, or call the block sh"


def check_picture(block: Block) -> None:
    """A picture or a layout, and no code that has lost its language."""
    assert re.findall(r"^ *(?:\$ |byom |make |pip |import |from )", block.text, re.MULTILINE) == []
    named = re.findall(r"\b(?:tasks|workers|config)/[\w./]*\w/?", block.text)
    assert [path for path in named if not (ROOT / path).exists()] == []


def check_sql(block: Block) -> None:
    """It asks what there is; `test_docs_usage.py` runs it on SQLite and PostgreSQL."""
    assert block.page == "docs/usage.md"


def check_promql(block: Block) -> None:
    promql = pytest.importorskip("promql_parser")
    promql.parse(block.text)


#: Language → its check. A block of another one is red: give it a check.
CHECKS: Mapping[str, Callable[[Block], object]] = {
    "": check_picture,
    "json": check_json,
    "yaml": lambda block: yaml.safe_load(block.text),
    "toml": lambda block: tomllib.loads(block.text),
    "python": lambda block: ast.parse(block.text),
    "sql": check_sql,
    "promql": check_promql,
    **dict.fromkeys(SHELLS, check_shell),
}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_what_it_says_it_is(block: Block) -> None:
    assert block.language in CHECKS, f"no check for blocks of this language; see {Path(__file__).name}"
    CHECKS[block.language](block)


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_a_page_is_overlooked(page: str) -> None:
    fences = re.findall(r"^ *(?:```|~~~)", text_of(page), re.MULTILINE)

    assert len(fences) == 2 * len(blocks(page))


def test_the_architecture_names_every_part_of_the_workers() -> None:
    parts = {f"workers/{path.name}/" for path in (ROOT / "workers").iterdir() if (path / "__init__.py").exists()}

    assert sorted(part for part in parts if part not in text_of("docs/architecture.md")) == []


@pytest.mark.parametrize("label", sorted(JSON))
def test_every_check_of_json_has_something_to_check(label: str) -> None:
    assert [block for block in BLOCKS if (block.language, block.label) == ("json", label)]


def check_words(found: Any, words: Sequence[str]) -> None:
    """A tree of commands takes these words, with all their options; those in capitals stand for anything."""
    while words and words[0] in getattr(found, "commands", {}):
        found, words = found.commands[words[0]], words[1:]
    if hasattr(found, "commands") and not found.invoke_without_command:
        # A group, which is named without a command of its own.
        assert set(words) <= {"--help", "--version"}, f"there is no {words}"
        return
    taken = {"--help", *(option for param in found.params for option in (*param.opts, *param.secondary_opts))}
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= taken
    context = found.make_context(None, list(words), resilient_parsing=True)
    # A group keeps what should be one of its commands.
    assert [*context.args, *getattr(context, "_protected_args", [])] == []


def lines_of_program(program: str) -> pytest.MarkDecorator:
    """A parameter for all command lines of a program."""
    found = {one.line: one for one in LINES if one.program == program}
    return pytest.mark.parametrize("command", found.values(), ids=found.keys())


@lines_of_program("byom")
def test_a_command_of_ours_exists_with_its_options(command: Command) -> None:
    check_words(BYOM, command.words[1:])


@lines_of_program("make")
def test_a_target_is_in_the_makefile_and_takes_what_it_is_given(command: Command) -> None:
    targets = [word for word in command.words[1:] if "=" not in word]

    for target in targets:
        assert re.search(rf"^{target}:.*## \w", MAKEFILE, re.MULTILINE), target
    for name, _, value in (word.partition("=") for word in command.words[1:] if "=" in word):
        module, tree = GIVEN_TO[name]
        recipe = MAKEFILE.partition(f"\n{targets[0]}:")[2].partition("\n\n")[0]
        assert re.search(rf" -m {module}( .*)? \$\({name}\)$", recipe, re.MULTILINE)
        check_words(tree, value.split())


@lines_of_program("python")
def test_a_module_that_is_run_is_there_and_takes_what_it_is_given(command: Command) -> None:
    dash, module, *words = command.words[1:]

    assert dash == "-m"
    assert importlib.util.find_spec(module)
    if module in MODULES:
        check_words(MODULES[module], words)


@pytest.mark.parametrize("page", PAGES)
def test_files_and_folders_that_a_page_names_are_there(page: str) -> None:
    kind = re.compile(r"\bKIND\b")

    assert [path for path in sorted(paths(text_of(page))) if not (ROOT / kind.sub("anthropic", path)).exists()] == []


def test_a_command_that_is_only_read_has_a_reason_and_no_reason_is_left_over() -> None:
    reasons = {reason_not_to_run(command) for command in COMMANDS} - {None}

    assert set(ONLY_READ.values()) <= reasons
    for start in ONLY_READ:
        assert [command for command in COMMANDS if command.line.startswith(start)], start
    for page in RUN_ELSEWHERE:
        assert commands(page), page


@pytest.mark.parametrize("page", [*RUN_ELSEWHERE, *PYTHON_ELSEWHERE])
def test_who_is_said_to_run_a_page_reads_it(page: str) -> None:
    runner = (ROOT / (RUN_ELSEWHERE.get(page) or PYTHON_ELSEWHERE[page])).read_text(encoding="utf-8")

    assert f'"{Path(page).name}"' in runner or "PAGES" in runner


def test_the_lines_that_fill_in_passwords_leave_none_out(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "users.acl" in block.text]
    shutil.copy(ROOT / "docs" / "deployment" / "redis" / "users.acl", tmp_path)
    # What makes the passwords need not be installed here.
    (tmp_path / "openssl").write_text("#!/bin/sh\necho 5f0c\n")
    (tmp_path / "openssl").chmod(0o755)

    subprocess.run(
        ["bash", "-euc", block.text], cwd=tmp_path, check=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )

    filled = (tmp_path / "users.acl").read_text(encoding="utf-8")
    assert "_PASSWORD" not in filled
    assert filled.count(">5f0c") == len(re.findall(r"^user (?!default)", filled, re.MULTILINE))


def test_programs_of_others_are_known() -> None:
    foreign = {command.program for command in COMMANDS if reason_not_to_run(command) is None} - {"byom", "export"}

    assert foreign == set(), "say in tests/shown.py why they are not run"


# Whether these checks can fail. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "label", "text"),
    [
        ("json", "job", '{"project": "acme"}'),
        ("json", "result", '{"job_id": "x"}'),
        ("json", "event", '{"id": "x"}'),
        ("json", "entry", '{"id": "a", "content": ""}'),
        ("json", "sink", '{"line": 1}'),
        ("json", "poem", "{}"),
        ("json", "", "{}"),
        ("json", "job", "{"),
        ("yaml", "", "a: [1"),
        ("toml", "", "a = "),
        ("python", "", "def"),
        ("sh", "", "for x in"),
        ("console", "", "byom up"),
        ("", "", "$ byom up"),
        ("sql", "", "SELECT 1"),
        ("rust", "", "fn main() {}"),
    ],
)
def test_a_block_that_is_not_what_it_says_is_found(language: str, label: str, text: str) -> None:
    block = Block(page="README.md", line=1, language=language, label=label, text=text)

    with pytest.raises((AssertionError, KeyError, ValueError, SyntaxError, JobRefused, yaml.YAMLError)):
        test_a_block_is_what_it_says_it_is(block)


@pytest.mark.parametrize(
    "line", ["byom nothing", "byom usage --nothing", "byom usage nothing", "byom lanes nothing", "byom up 3 4"]
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    (command,) = parsed(line, "README.md")

    with pytest.raises(AssertionError):
        check_words(BYOM, command.words[1:])


@pytest.mark.parametrize("line", ["byom", "byom lanes", "byom usage --by project", "byom store copy --from A --to B"])
def test_a_command_that_exists_is_left_alone(line: str) -> None:
    (command,) = parsed(line, "README.md")

    check_words(BYOM, command.words[1:])


def test_a_line_is_taken_apart_as_a_shell_does() -> None:
    line = "A=1 byom usage --csv > out.csv && byom events --json | jq '.a | .b'   # what is said of it"
    first, second, third = parsed(line, "x.md")

    assert (first.words, first.variables, first.into) == (("byom", "usage", "--csv"), (("A", "1"),), "out.csv")
    assert (second.program, third.words) == ("byom", ("jq", ".a | .b"))
