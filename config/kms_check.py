"""Trying out a customer's KMS key before it is saved, with the credentials that will have to use it."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from config.connections import AccountProfile, account_path, read_account, write_account
from config.store import ParameterStore
from config.store.aws import build_client
from config.store.aws_errors import explain, missing_action

if TYPE_CHECKING:
    from config.store.ssm import SsmStore

_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):kms:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):key/[A-Za-z0-9-]{1,128}"
)
_SAMPLE_BYTES = 32


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    #: What it rests on failed.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCheck:
    """One thing that was looked at."""

    name: str
    status: Status
    #: What was found, and the mend when it failed.
    message: str
    #: The IAM action that is denied, such as `kms:Decrypt`; None when it is something else, or all is well.
    missing: str | None = None


#: Gives the client of an AWS service in a region.
Clients = Callable[[str, str | None], Any]
#: Writes the profile of an account.
Save = Callable[[str, AccountProfile], None]


def set_kms_key(
    store: ParameterStore,
    account: str,
    arn: str | None,
    *,
    clients: Clients = build_client,
    save: Save | None = None,
) -> list[KeyCheck]:
    """Try a key out, and save it for an account if every check is well; None goes back to the store's own key.

    What is stored already stays under its old key until it is encrypted anew (`config.reencrypt`).

    Args:
        store: where the account's profile is.
        account: the account.
        arn: of the key.
        clients: of AWS.
        save: writes the profile, where more is to be done than to write it.

    Returns:
        The checks; the key was saved when none of them failed or was skipped.

    Raises:
        InvalidConnection: the profile of the account is stored damaged.
        StoreError: the store cannot be read or written.
    """
    profile = read_account(store, account)
    checks = [] if arn is None else check_kms_key(store, account, arn, clients=clients)
    if all(check.status is Status.OK for check in checks):
        changed = profile.model_copy(update={"kms_key": arn})
        if save is None:
            write_account(store, account, changed)
        else:
            save(account, changed)
    return checks


def check_kms_key(store: ParameterStore, account: str, arn: str, *, clients: Clients = build_client) -> list[KeyCheck]:
    """Whether the credentials of this process can encrypt an account's secrets with a key, and decrypt them.

    Encrypts and decrypts a random sample the way SSM does: with the ARN of a parameter as encryption context, so that a
    key policy may be bound to the account's parameters.

    Raises:
        StoreError: the region of an SSM store is not known.
    """
    found = _ARN.fullmatch(arn)
    if found is None:
        message = "give the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID; an alias may be pointed elsewhere later"
        return [KeyCheck(name="arn", status=Status.FAILED, message=f"this is not the ARN of a KMS key: {message}")]
    region = found["region"]
    checks = [_check_region(store, region)]
    context, identity = _identity(clients, region, f"{_prefix(store)}{account_path(account)}", found["partition"])
    checks.append(identity)
    if context is None or checks[0].status is Status.FAILED:
        return checks
    kms = clients("kms", region)
    checks += [_describe(kms, arn), *_round_trip(kms, arn, context)]
    return checks


def _check_region(store: ParameterStore, region: str) -> KeyCheck:
    ssm = _as_ssm(store)
    if ssm is None:
        message = f"{region}; this store is not SSM and only keeps the name of the key"
        return KeyCheck(name="region", status=Status.OK, message=message)
    if ssm.region == region:
        return KeyCheck(name="region", status=Status.OK, message=f"{region}, as the store")
    message = (
        f"the key is in {region} and the store in {ssm.region}: SSM encrypts only with keys of its own region; create "
        f"the key in {ssm.region}, or replicate a multi-region key there and give the replica's ARN"
    )
    return KeyCheck(name="region", status=Status.FAILED, message=message)


def _identity(clients: Clients, region: str, scope: str, partition: str) -> tuple[dict[str, str] | None, KeyCheck]:
    """The encryption context that SSM would use, and who makes the calls."""
    try:
        caller = clients("sts", region).get_caller_identity()
    except (BotoCoreError, ClientError, ValueError) as error:
        message = explain(error, action="sts:GetCallerIdentity")
        return None, KeyCheck(name="credentials", status=Status.FAILED, message=message)
    arn = f"arn:{partition}:ssm:{region}:{caller['Account']}:parameter{scope}/kms-check"
    check = KeyCheck(name="credentials", status=Status.OK, message=f"calls are made as {caller['Arn']}")
    return {"PARAMETER_ARN": arn}, check


def _describe(kms: Any, arn: str) -> KeyCheck:
    try:
        facts = kms.describe_key(KeyId=arn)["KeyMetadata"]
    except (BotoCoreError, ClientError, ValueError) as error:
        return _failed("key", error, "kms:DescribeKey", arn)
    state, usage = facts.get("KeyState", "Enabled"), facts.get("KeyUsage", "ENCRYPT_DECRYPT")
    kind = facts.get("KeySpec", facts.get("CustomerMasterKeySpec", "SYMMETRIC_DEFAULT"))
    problem = ""
    if usage != "ENCRYPT_DECRYPT" or kind != "SYMMETRIC_DEFAULT":
        problem = f"it is made for {usage} with {kind}; create a symmetric key for ENCRYPT_DECRYPT"
    elif not facts.get("Enabled", True) or state != "Enabled":
        problem = f"its state is {state}; its owner must enable it"
    if problem:
        return KeyCheck(name="key", status=Status.FAILED, message=problem)
    return KeyCheck(name="key", status=Status.OK, message="enabled, symmetric, for ENCRYPT_DECRYPT (kms:DescribeKey)")


def _round_trip(kms: Any, arn: str, context: dict[str, str]) -> list[KeyCheck]:
    sample = os.urandom(_SAMPLE_BYTES)
    try:
        sealed = kms.encrypt(KeyId=arn, Plaintext=sample, EncryptionContext=context)["CiphertextBlob"]
    except (BotoCoreError, ClientError, ValueError) as error:
        skipped = KeyCheck(name="decrypt", status=Status.SKIPPED, message="not tried: there is nothing to decrypt")
        return [_failed("encrypt", error, "kms:Encrypt", arn), skipped]
    encrypted = KeyCheck(name="encrypt", status=Status.OK, message="a sample was encrypted (kms:Encrypt)")
    try:
        opened = kms.decrypt(KeyId=arn, CiphertextBlob=sealed, EncryptionContext=context)["Plaintext"]
    except (BotoCoreError, ClientError, ValueError) as error:
        return [encrypted, _failed("decrypt", error, "kms:Decrypt", arn)]
    if opened != sample:
        message = "the sample came back changed; what answers is not KMS, see AWS_ENDPOINT_URL"
        return [encrypted, KeyCheck(name="decrypt", status=Status.FAILED, message=message)]
    return [encrypted, KeyCheck(name="decrypt", status=Status.OK, message="and decrypted again (kms:Decrypt)")]


def _failed(name: str, error: Exception, action: str, arn: str) -> KeyCheck:
    message = explain(error, action=action, kms_key=arn)
    return KeyCheck(name=name, status=Status.FAILED, message=message, missing=missing_action(error, action))


def _prefix(store: ParameterStore) -> str:
    ssm = _as_ssm(store)
    return ssm.prefix if ssm else ""


def _as_ssm(store: ParameterStore) -> "SsmStore | None":
    from config.store.ssm import SsmStore  # noqa: PLC0415 - the others need nothing of boto3

    return store if isinstance(store, SsmStore) else None
