"""Which commands and snippets of the documentation are run by whom, and which are only read, and why.

What is in none of these tables is run by `tests/integration/test_docs_commands.py`.
"""

from collections.abc import Mapping

from tests.pages import Command

#: Page whose commands are run by a test of its own → that test.
RUN_ELSEWHERE: Mapping[str, str] = {
    "README.md": "tests/integration/test_readme.py",
    "CONTRIBUTING.md": "tests/unit/docs/test_docs_contributing.py",
    "docs/configuration.md": "tests/unit/cli/test_cli_docs_configuration.py",
    "docs/providers.md": "tests/unit/cli/test_cli_docs_providers.py",
    # Examples of help: they are read as every command is; what commands do is tested in tests/unit/cli.
    "docs/reference/cli.md": "tests/unit/docs/test_docs_reference.py",
}

#: Page whose Python is run by a test of its own → that test.
PYTHON_ELSEWHERE: Mapping[str, str] = {
    "docs/contract.md": "tests/unit/docs/test_docs_contract.py",
    "docs/events.md": "tests/unit/docs/test_docs_events.py",
    "docs/python.md": "tests/unit/docs/test_docs_python.py",
}

#: How a command that is only read begins → why it is not run. Each is parsed all the same: options, targets, files.
ONLY_READ: Mapping[str, str] = {
    "byom up": "runs until it is stopped; test_readme.py runs it",
    "byom worker": "runs until it is stopped; test_container_commands.py runs it",
    "byom flower": "runs until it is stopped; test_flower_process.py runs it",
    "byom events --kind byom.request_failed --follow": "runs until it is stopped; test_cli_following.py runs it",
    "byom events --follow": "runs until it is stopped; test_cli_following.py runs it",
    "byom usage export --out usage.jsonl --state usage.state --follow": "runs until it is stopped; so test_export.py",
    "byom usage sync --follow": "runs until it is stopped; test_cli_usage.py runs it",
    "byom webhook test": "needs the receiver of the example; test_cli_webhook.py runs it",
    "make": "a target of ours, which calls what other tests call",
    "python -m benchmarks": "measures for minutes; tests/unit/benchmarks runs small sizes",
    "pip": "changes the environment that tests run in",
    "/opt/byom/bin/pip": "needs a machine of its own",
    "python3 -m venv /opt/byom": "needs a machine of its own",
    "useradd": "needs a machine of its own; tests/unit/deployment reads the units",
    "systemctl": "needs a machine of its own; tests/unit/deployment reads the units",
    "sed": "test_docs_blocks.py runs the lines that it stands among",
    "kubectl": "needs a cluster; tests/unit/deployment reads the manifests",
    "jq": "need not be installed here",
}


def reason_not_to_run(command: Command) -> str | None:
    """Why a command is only read, or run elsewhere; None where it is to be run."""
    if command.page in RUN_ELSEWHERE:
        return RUN_ELSEWHERE[command.page]
    found = (why for start, why in ONLY_READ.items() if f"{_bare(command)} ".startswith(f"{start} "))
    return next(found, None)


def _bare(command: Command) -> str:
    """The line without variables before it."""
    return command.line.partition(command.program)[1] + command.line.partition(command.program)[2]
