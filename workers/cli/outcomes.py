"""How the end of a job is shown."""

from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from tasks.contract import ContractError, ExtractionResult, Fact, JobStatus
from workers.cli.console import counted, out
from workers.enqueue.producer import JobHandle


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended, or that it has not ended in time: exactly one of the three is set."""

    job_id: str
    result: ExtractionResult | None = None
    #: A `Failure` as JSON.
    failure: dict[str, Any] | None = None
    unfinished: str | None = None

    @property
    def good(self) -> bool:
        """Whether every episode was extracted."""
        return self.result is not None and self.result.status is not JobStatus.PARTIAL

    @property
    def failure_codes(self) -> set[str]:
        """Why the job, or episodes of it, failed; empty when all went well."""
        if self.result is None:
            return {str((self.failure or {}).get("code", "unfinished"))}
        return {episode.failure.code for episode in self.result.episodes if episode.failure is not None}

    def as_json(self) -> dict[str, Any]:
        """One document with `job_id` and `status`, whatever happened."""
        if self.result is not None:
            return self.result.model_dump(mode="json", exclude_none=True)
        if self.failure is not None:
            return {"job_id": self.job_id, "status": "failed", "failure": self.failure}
        return {"job_id": self.job_id, "status": "unfinished", "message": self.unfinished}

    def line(self) -> str:
        """One line of markup."""
        if self.unfinished is not None:
            return f"[yellow]…[/] {self.job_id}  {escape(self.unfinished)}"
        if self.result is None:
            text = str((self.failure or {}).get("message", "failed"))
            return f"[red]✗[/] {self.job_id}  {escape(text)}"
        result = self.result
        facts = sum(len(episode.facts) for episode in result.episodes)
        hops = len({(attempt.connection, attempt.model) for attempt in result.attempts})
        cost = f"${result.usage.cost_usd}" if result.usage.cost_usd is not None else "cost unknown"
        mark = "[green]✓[/]" if self.good else "[yellow]~[/]"
        saved = f", {result.usage.tokens_saved:,} saved by packing" if result.usage.tokens_saved else ""
        fell_back = ", [yellow]by fallback[/]" if hops > 1 else ""
        return (
            f"{mark} {self.job_id}  {result.status.value}: {counted(facts, 'fact')}, "
            f"{result.usage.tokens.total:,} tokens{saved}, {cost}{fell_back}"
        )


def await_outcome(handle: JobHandle, *, timeout: float, told: float | None = None) -> Outcome:
    """Wait for a job to end.

    Args:
        handle: of the job.
        timeout: seconds to wait.
        told: seconds that whoever asks has waited by then, where that is more: for many jobs, one after another.
    """
    try:
        return Outcome(job_id=handle.id, result=handle.result(timeout=timeout))
    except TimeoutError:
        waited = timeout if told is None else told
        text = f"has not ended after {waited:g} s; it goes on: ask again with `byom result {handle.id}`"
        return Outcome(job_id=handle.id, unfinished=text)
    except ContractError as error:
        return Outcome(job_id=handle.id, failure={"message": error.message, **error.details})


def show_memories(result: ExtractionResult) -> None:
    """Print what was remembered, episode by episode."""
    for episode in result.episodes:
        out.print(f"[bold]{escape(episode.episode_id)}[/]")
        if episode.failure is not None:
            out.print(f"  [red]{escape(episode.failure.message)}[/]")
        for fact in episode.facts:
            out.print(f"  • {escape(fact.fact)}{validity(fact)}")
        for entity in episode.entities:
            summary = f": {escape(entity.summary)}" if entity.summary else ""
            out.print(f"  [cyan]{escape(entity.name)}[/] ({escape(entity.type)}){summary}")
        if not (episode.facts or episode.entities or episode.failure):
            out.print("  nothing worth remembering")
    for warning in result.warnings:
        out.print(f"[yellow]{escape(warning.code)}[/]  {escape(warning.detail)}")


def validity(fact: Fact) -> str:
    """From when until when a fact holds, as markup; empty when that is not known."""
    parts = [
        f"{word} {moment.date().isoformat()}"
        for word, moment in (("from", fact.valid_at), ("until", fact.invalid_at))
        if moment is not None
    ]
    return f"  [dim]({' '.join(parts)})[/]" if parts else ""
