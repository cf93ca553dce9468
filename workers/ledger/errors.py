"""Errors of the ledger's readers. Each message says what is wrong and the mend.

LedgerError
├── LedgerUnavailable    the database cannot be reached, or not used
├── LedgerSchema         the database has a shape that this version does not know
├── UnreadableRecord     an entry of the stream is not a usage record
├── ExportError          an export cannot go on where it is asked to
└── UnreadableReport     a vendor's report of usage cannot be read
"""


class LedgerError(Exception):
    """Base of all errors here."""


class LedgerUnavailable(LedgerError):
    """The database cannot be reached, or not used."""


class LedgerSchema(LedgerError):
    """The database has a shape that this version does not know."""


class UnreadableRecord(LedgerError):
    """An entry of the stream is not a usage record."""


class ExportError(LedgerError):
    """An export cannot go on where it is asked to."""


class UnreadableReport(LedgerError):
    """A vendor's report of usage cannot be read."""
