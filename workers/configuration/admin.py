"""Changes of the configuration, each with its record in the audit log and its notice to the workers.

Whatever changes the store on somebody's behalf goes through here, so that no change is without the other two; it also
takes effect at once where jobs are held up (`workers.configuration.effect`):

    with admin.record("connection.save", scope, "connections/primary") as changes:
        changes.update(difference(before, after))
        …write…
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Self

import redis
from pydantic import SecretStr

from config.connections import (
    AccountProfile,
    Connection,
    ProjectProfile,
    account_path,
    project_path,
    read_account,
    read_project,
    save_connection,
    write_account,
    write_project,
)
from config.connections.documents import Document, connection_documents
from config.credentials import (
    Changed,
    activate_credential,
    add_credential,
    delete_credential,
    delete_version,
    disable_credential,
    fingerprint,
    history_of,
    note_verification,
)
from config.errors import AuditError, ConfigError
from config.settings import Settings
from config.store import ParameterStore, open_store
from workers.clock import Clock, SystemClock
from workers.configuration.audit import AuditLog, difference
from workers.configuration.changes import Announcer, Change
from workers.configuration.effect import Effect, put_into_force
from workers.redis.impatient import connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record of what is about to be done; `changes` may still grow while it is done."""

    #: What is done, such as `connection.save`.
    action: str
    #: Path of the project or account.
    scope: str
    #: What it is done with, relative to the scope, such as `connections/primary`.
    subject: str
    #: Names and values; secrets as `SecretStr`, of which only fingerprints are written.
    changes: dict[str, Any] = field(default_factory=dict)


class Admin:
    """Changes the configuration on behalf of one actor. Synchronous."""

    def __init__(
        self,
        store: ParameterStore,
        *,
        audit: AuditLog,
        announcer: Announcer,
        clock: Clock,
        effect: Effect | None = None,
    ) -> None:
        """Prepare; nothing is read or sent yet.

        Args:
            store: what is changed.
            audit: where it is recorded.
            announcer: tells the workers.
            clock: dates records.
            effect: makes changes count where jobs are held up; None where there are no jobs.
        """
        self.store = store
        self.audit = audit
        #: Whether workers were told of every change so far; if not, they notice when their caches expire.
        self.announced = True
        self._announcer = announcer
        self._clock = clock
        self._effect = effect

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings) -> Iterator[Self]:
        """With the store, the audit log and the Redis of a process's settings.

        Raises:
            StoreError: the store's URL is none.
            SettingsError: the broker's URL is none.
        """
        with connect(settings.redis_url) as client:
            yield cls(
                open_store(settings.store_url, key=settings.store_key),
                audit=AuditLog.from_settings(settings),
                announcer=Announcer(client),
                clock=SystemClock(),
                effect=partial(put_into_force, client),
            )

    @contextmanager
    def record(
        self,
        action: str,
        scope: str,
        subject: str,
        changes: dict[str, Any] | None = None,
        *,
        trust: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Record what the block changes, and announce it when it is done; what fails is recorded as failed.

        Args:
            action: what is done, such as `connection.save`.
            scope: path of the project or account.
            subject: what it is done with, relative to the scope, such as `connections/primary`.
            changes: names and values; secrets as `SecretStr`, of which only fingerprints are written.
            trust: whether workers may use again what a provider refused.

        Yields:
            The changes, to which the block may add.

        Raises:
            AuditError: the log cannot be written. If that shows only when the change is made, the message says so.
        """
        entry = Entry(action=action, scope=scope, subject=subject, changes=dict(changes or {}))
        with self.records([entry], trust=trust):
            yield entry.changes

    @contextmanager
    def records(
        self,
        entries: Sequence[Entry],
        *,
        trust: bool = False,
        seen: ParameterStore | None = None,
        in_steps: bool = False,
    ) -> Iterator[None]:
        """As `record`, of several changes that are made together.

        Args:
            entries: what is done; at least one.
            trust: as above.
            seen: what the configuration is afterwards, where that is in memory already.
            in_steps: the block writes more than once, so that workers may have read what a failure left half done.

        Raises:
            AuditError: as above.
        """
        # Before anything is changed: nothing is to change without a record.
        self.audit.check_writable()
        at = self._clock.now()
        try:
            yield
        except BaseException as error:
            # Our own errors say nothing secret; what others say is not known.
            why = f"{type(error).__name__}: {error}" if isinstance(error, ConfigError) else type(error).__name__
            for entry in entries:
                self._append(entry, at=at, error=why)
            if in_steps:
                self._tell(entries, seen=self.store, trust=False)
            raise
        try:
            for entry in entries:
                self._append(entry, at=at)
        except AuditError as error:
            raise AuditError(
                f"{entry.action} of {entry.subject} below {entry.scope} was done, but not recorded: {error}"
            ) from error
        finally:
            self._tell(entries, seen=seen or self.store, trust=trust)

    def _append(self, entry: Entry, *, at: datetime, error: str | None = None) -> None:
        self.audit.append(
            at=at,
            action=entry.action,
            scope=entry.scope,
            subject=entry.subject,
            changes=entry.changes,
            outcome="failed" if error else "done",
            error=error,
        )

    def _tell(self, entries: Sequence[Entry], *, seen: ParameterStore, trust: bool) -> None:
        """Tell workers of each scope that changed, and let it count where jobs are held up."""
        for scope in dict.fromkeys(entry.scope for entry in entries):
            if not self._announcer.announce(Change(scope=scope, trust=trust)):
                # What does not answer once would keep whoever waits once more for each scope.
                self.announced = False
                return
            try:
                if self._effect is not None:
                    self._effect(seen, scope, trust=trust)
            except redis.RedisError:
                self.announced = False
                return

    def add_credential(self, scope: str, name: str, secret: SecretStr, *, reason: str | None = None) -> Changed:
        """Add a version, which is pending until it is activated.

        Raises:
            ConfigError: as `config.credentials.add_credential`.
        """
        with self._credential("add", scope, name, reason) as changes:
            changes["fingerprint"] = fingerprint(SecretStr(secret.get_secret_value().strip()))
            changed = add_credential(
                self.store, scope, name, secret, by=self.audit.by, now=self._clock.now(), reason=reason
            )
            changes.update(_said(changed))
        return changed

    def note_verification(self, scope: str, name: str, version: int, *, problem: str | None) -> None:
        """Note that a version was tried at its provider: it works, or `problem` says why not.

        Raises:
            ConfigError: as `config.credentials.note_verification`.
        """
        history = history_of(self.store, scope, name)
        # Only what calls are made with is vouched for: jobs that wait for another key must not meet the refused one.
        works = problem is None and history is not None and history.active == version
        with self._credential("verify", scope, name, problem, trust=works) as changes:
            changes.update({"version": version, "works": problem is None})
            note_verification(self.store, scope, name, version, now=self._clock.now(), problem=problem)

    def activate_credential(
        self, scope: str, name: str, version: int, *, reason: str | None = None, force: bool = False
    ) -> Changed:
        """Let calls be made with a version; the one that was active is disabled.

        Raises:
            ConfigError: as `config.credentials.activate_credential`.
        """
        with self._credential("activate", scope, name, reason, trust=True) as changes:
            changes.update({"version": version} | ({"forced": True} if force else {}))
            changed = activate_credential(
                self.store, scope, name, version, by=self.audit.by, now=self._clock.now(), reason=reason, force=force
            )
            changes.update(_said(changed))
        return changed

    def disable_credential(self, scope: str, name: str, version: int, *, reason: str | None = None) -> Changed:
        """Let no call be made with a version any more.

        Raises:
            ConfigError: as `config.credentials.disable_credential`.
        """
        with self._credential("disable", scope, name, reason) as changes:
            changes["version"] = version
            changed = disable_credential(
                self.store, scope, name, version, by=self.audit.by, now=self._clock.now(), reason=reason
            )
            changes.update(_said(changed))
        return changed

    def delete_version(
        self, scope: str, name: str, version: int, *, reason: str | None = None, force: bool = False
    ) -> Changed:
        """Remove the secret of a version for good.

        Raises:
            ConfigError: as `config.credentials.delete_version`.
        """
        with self._credential("delete", scope, name, reason) as changes:
            changes.update({"version": version} | ({"forced": True} if force else {}))
            changed = delete_version(
                self.store, scope, name, version, by=self.audit.by, now=self._clock.now(), reason=reason, force=force
            )
            changes.update(_said(changed))
        return changed

    def delete_credential(self, scope: str, name: str, *, reason: str | None = None) -> list[Changed]:
        """Delete all versions of a credential that no connection names.

        Raises:
            ConfigError: as `config.credentials.delete_credential`.
        """
        with self._credential("delete", scope, name, reason) as changes:
            deleted = delete_credential(self.store, scope, name, by=self.audit.by, now=self._clock.now(), reason=reason)
            changes["versions"] = [changed.version for changed in deleted]
        return deleted

    def save_credential(self, scope: str, name: str, secret: SecretStr, *, verified: bool) -> int:
        """Add a version and activate it, whether it is verified or not.

        Args:
            scope: path of the project or account.
            name: of the credential.
            secret: the new one.
            verified: whether a provider has just accepted it.

        Returns:
            Its number.

        Raises:
            ConfigError: as `config.credentials.add_credential`.
        """
        version = self.add_credential(scope, name, secret).version
        if verified:
            self.note_verification(scope, name, version, problem=None)
        self.activate_credential(scope, name, version, force=not verified)
        return version

    def save_connection(self, scope: str, document: Document) -> Connection:
        """Validate a connection and write it.

        Raises:
            ConfigError: as `config.connections.save_connection`.
        """
        name = str(document.get("name", "?"))
        with self.record("connection.save", scope, f"connections/{name}") as changes:
            before = connection_documents(self.store, scope).get(name, {})
            connection = save_connection(self.store, scope, document)
            changes.update(difference(before, connection_documents(self.store, scope)[connection.name]))
        return connection

    def save_project(self, project: str, profile: ProjectProfile) -> None:
        """Write the profile of a project as a whole; creates the project if it is new.

        Raises:
            ConfigError: as `config.connections.write_project`.
        """
        scope = project_path(project)
        with self.record("project.save", scope, "profile") as changes:
            before = read_project(self.store, project)
            if profile.account:
                account_path(profile.account)
            write_project(self.store, project, profile)
            changes.update(difference(_document(before), _document(profile)))

    def save_account(self, account: str, profile: AccountProfile) -> None:
        """Write the profile of an account as a whole.

        Raises:
            ConfigError: as `config.connections.write_account`.
        """
        scope = account_path(account)
        with self.record("account.save", scope, "profile") as changes:
            before = read_account(self.store, account)
            write_account(self.store, account, profile)
            changes.update(difference(_document(before), _document(profile)))

    @contextmanager
    def _credential(
        self, action: str, scope: str, name: str, reason: str | None, *, trust: bool = False
    ) -> Iterator[dict[str, Any]]:
        given = {"reason": reason} if reason else {}
        with self.record(f"credential.{action}", scope, f"credentials/{name}", given, trust=trust) as changes:
            yield changes


def _said(changed: Changed) -> dict[str, Any]:
    """What became of a version, for the log."""
    said: dict[str, Any] = {"version": changed.version, "fingerprint": changed.fingerprint}
    if changed.before is not changed.after:
        before = changed.before.value if changed.before else None
        said["state"] = {"from": before, "to": changed.after.value}
    if changed.replaced is not None:
        said["replaced"] = changed.replaced
    return said


def _document(profile: ProjectProfile | AccountProfile | None) -> Document:
    return {} if profile is None else profile.model_dump(mode="json", exclude_defaults=True)
