"""Errors of backfills. Each message says what is wrong and the mend, and nothing of what a line says.

BackfillError
└── SourceError          the input cannot be read, or not to its end
"""


class BackfillError(Exception):
    """Base of all errors here."""


class SourceError(BackfillError):
    """The input cannot be read, or not to its end."""
