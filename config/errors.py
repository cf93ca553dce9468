"""Errors of configuration. Each message says what is wrong, where, and the mend.

ConfigError
├── SettingsError        the process's own settings do not fit
├── StoreError           the parameter store cannot be read or written
├── UnknownProject       no such project
├── NoConnection         the project has no connection to call
├── InvalidConnection    a stored or given connection does not fit its provider
├── UnknownModel         the model is not in the catalogue and was not marked unverified
├── CredentialMissing    a connection refers to a credential that is not there
└── InvalidWebhook       a webhook is not there, is stored damaged, or does not fit
"""


class ConfigError(Exception):
    """Base of all configuration errors."""


class SettingsError(ConfigError):
    """The process's own settings do not fit."""


class StoreError(ConfigError):
    """The parameter store cannot be read or written."""


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


class InvalidWebhook(ConfigError):
    """A webhook is not there, is stored damaged, or does not fit."""
