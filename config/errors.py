"""Errors of configuration. Each message says what is wrong, where, and the mend.

ConfigError
├── SettingsError        the process's own settings do not fit
├── StoreError           the parameter store cannot be read or written
│   ├── StoreConflict    somebody else wrote the same value in between
│   └── AuditError       the audit log cannot be read or written
├── UnknownProject       no such project
├── NoConnection         the project has no connection to call
├── InvalidConnection    a stored or given connection does not fit its provider
├── UnknownModel         the model is not in the catalogue and was not marked unverified
├── CredentialMissing    a connection refers to a credential that is not there
│   └── CredentialDisabled  it is there, and none of its versions is active
├── CredentialRefused    the provider refused the active version a short while ago
├── InvalidCredential    what was asked for does not fit the state that a credential is in
├── MalformedCredential  a secret has not the shape of its provider's credentials
├── InvalidFile          a configuration file cannot be used
├── InvalidWebhook       a webhook is not there, is stored damaged, or does not fit
└── InvalidProducer      a producer that signs its jobs is not there, is stored damaged, or does not fit
"""


class ConfigError(Exception):
    """Base of all configuration errors."""


class SettingsError(ConfigError):
    """The process's own settings do not fit."""


class StoreError(ConfigError):
    """The parameter store cannot be read or written."""


class StoreConflict(StoreError):
    """Somebody else wrote the same value in between."""


class AuditError(StoreError):
    """The audit log cannot be read or written."""


class UnknownProject(ConfigError):
    """No project of this name is configured."""


class NoConnection(ConfigError):
    """The project has no connection to call."""


class InvalidConnection(ConfigError):
    """A connection does not fit its provider."""


class UnknownModel(ConfigError):
    """The model is not in the catalogue and was not marked unverified."""


class CredentialMissing(ConfigError):
    """A connection refers to a credential that is not there."""


class CredentialDisabled(CredentialMissing):
    """A credential is there, and none of its versions is active."""


class CredentialRefused(ConfigError):
    """The provider refused the active version of a credential a short while ago."""

    def __init__(self, message: str, version: int | None = None) -> None:
        """`version` is the one that was refused."""
        super().__init__(message)
        self.version = version


class InvalidCredential(ConfigError):
    """What was asked for does not fit the state that a credential is in."""


class MalformedCredential(ConfigError):
    """A secret has not the shape of its provider's credentials. The message never quotes it."""


class InvalidFile(ConfigError):
    """A configuration file cannot be used: it is not YAML or JSON of the right shape, or it holds a secret."""


class InvalidWebhook(ConfigError):
    """A webhook is not there, is stored damaged, or does not fit."""


class InvalidProducer(ConfigError):
    """A producer that signs its jobs is not there, is stored damaged, or does not fit."""
