"""Examples below each command's help."""

from rich.markup import escape


def examples(*lines: str, notes: str = "") -> str:
    """Epilogue of a command: its examples, then notes in markup."""
    shown = "\n".join(["[bold]Examples[/]", *(f"  [cyan]{escape(line)}[/]" for line in lines)])
    return f"{shown}\n\n{notes.strip()}" if notes else shown
