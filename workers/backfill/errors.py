"""Errors of backfills. Each message says what is wrong and the mend, and nothing of what a line says.

BackfillError
├── SourceError          the input cannot be read, or not to its end
│   └── SourceChanged    it is not the file that the backfill began with
├── SinkError            the results cannot be written, or what was written is not there any more
├── UnknownBackfill      (workers.backfill.state) no backfill has this name
├── NameTaken            (there) one has it already
├── Held                 (there) another process drives it
└── Fenced               (there) another process took over
"""


class BackfillError(Exception):
    """Base of all errors here."""


class SourceError(BackfillError):
    """The input cannot be read, or not to its end."""


class SourceChanged(SourceError):
    """It is not the file that the backfill began with."""


class SinkError(BackfillError):
    """The results cannot be written, or what was written is not there any more."""
