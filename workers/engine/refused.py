"""Which credential a call is made with, and what is done while its vendor refuses that."""

from typing import Final

from config.credentials import Credential
from config.errors import CredentialRefused
from tasks.contract import FailureCode
from workers.admission import Admission, Reason
from workers.configuration.directory import Directory
from workers.engine.trouble import Subject

#: Seconds that all workers leave a connection alone whose credential was refused, unless it is changed before.
CREDENTIAL_REST: Final = 30.0


async def credential_for(subject: Subject, directory: Directory, admission: Admission) -> Credential | None:
    """The credential of a job's connection; None where it needs none.

    While its version is refused, a look into the store now and then finds another one of which no notice came; and the
    meter stays held back, so that whoever looks at it sees why nothing is called.

    Raises:
        CredentialMissing: there is none.
        CredentialRefused: its vendor refused it a short while ago.
    """
    try:
        return await directory.credential(subject.effective)
    except CredentialRefused as refused:
        if not directory.looks_again(subject.effective, refused.version, after=CREDENTIAL_REST / 2):
            raise
    try:
        return await directory.credential(subject.effective, fresh=True)
    except CredentialRefused:
        await admission.hold_back(
            subject.effective,
            reason=Reason.CREDENTIAL,
            seconds=CREDENTIAL_REST,
            code=FailureCode.CREDENTIAL_REJECTED,
        )
        raise
