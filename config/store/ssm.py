"""A parameter store in AWS SSM Parameter Store: for production.

Secrets are SecureStrings, encrypted by AWS under the account's default key (`alias/aws/ssm`) or a customer's; all else
are Strings. docs/store.md has what it costs, its limits and the policies it needs.
"""

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from config.errors import StoreError

from .aws import build_client, quiet
from .aws_errors import code_of, explain
from .base import Parameter, SecretFacts, check_kind, check_path, check_value, check_version, conflict

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient
    from types_boto3_ssm.type_defs import ParameterStringFilterTypeDef, PutParameterRequestTypeDef

_T = TypeVar("_T")

#: The key that AWS makes for the parameter store of each account.
DEFAULT_KEY = "alias/aws/ssm"
#: Bytes that a standard parameter holds, which costs nothing; an advanced one holds twice as much, and costs.
_STANDARD_BYTES = 4_096
#: The most that AWS gives in one answer.
_PAGE, _PAGE_OF_NAMES = 10, 50
#: Action → what was being done, for messages.
_DOING = {
    "ssm:GetParameter": "read",
    "ssm:GetParametersByPath": "list what is below",
    "ssm:PutParameter": "write",
    "ssm:DeleteParameter": "delete",
    "ssm:DescribeParameters": "look for the keys of the secrets below",
}
_PLAIN: Final = "String"
_SECURE: Final = "SecureString"


class SsmStore:
    """Parameters in SSM, each name preceded by a prefix. May be used by several threads."""

    def __init__(self, *, region: str | None = None, prefix: str = "", client: "SSMClient | None" = None) -> None:
        """Open nothing yet.

        Args:
            region: of AWS; None means the one that boto3 finds.
            prefix: a path that precedes all names, such as `/team`, or nothing.
            client: to use instead of one on this process's credentials.
        """
        self._region = region
        self.prefix = prefix
        self._client = client
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        """The region in use.

        Raises:
            StoreError: none is known.
        """
        return self._call("ssm:GetParameter", "/", lambda: self._ssm().meta.region_name)

    @property
    def endpoint(self) -> str:
        """The URL that calls go to.

        Raises:
            StoreError: no region is known.
        """
        return self._call("ssm:GetParameter", "/", lambda: self._ssm().meta.endpoint_url)

    def get(self, path: str) -> Parameter | None:
        """The newest version at `path`, or None.

        Raises:
            StoreError: AWS cannot be reached or refuses; says which permission is missing.
        """
        check_path(path)
        return self._get(path)

    def put(
        self,
        path: str,
        value: SecretStr,
        *,
        secure: bool,
        expected_version: int | None = None,
        kms_key: str | None = None,
    ) -> Parameter:
        """Write a new version and return it.

        SSM can compare before it writes only for a path that must not exist (`expected_version=0`): of several writers
        exactly one succeeds. For other versions the one there is looked at first, and the number of the new version
        shows whether somebody else wrote in the few milliseconds between: then what was written here is taken back, by
        writing the other's value once more, and `StoreConflict` is raised. In that short time readers can see the
        value that lost, and who takes it as the base of a write of his own brings it back.

        Raises:
            StoreConflict: `expected_version` is not the version there.
            StoreError: as `get`.
        """
        check_path(path)
        size = check_value(path, value)
        if expected_version:
            self._expect(path, expected_version, secure=secure)
        request: PutParameterRequestTypeDef = {
            "Name": self._name(path),
            "Value": value.get_secret_value(),
            "Type": _SECURE if secure else _PLAIN,
            "Overwrite": expected_version != 0,
            "Tier": _tier(size),
        }
        if secure:
            # Said also when it is the default, so that a parameter comes back from a customer's key.
            request["KeyId"] = kms_key or DEFAULT_KEY
        version = self._put(path, request)
        if version is None:
            raise conflict(path, found="there", expected=0)
        if expected_version and version != expected_version + 1:
            self._take_back(path, request, version=version, winner=expected_version + 1)
            raise conflict(path, found="changed at this very moment", expected=expected_version)
        return Parameter(path=path, value=value, version=version, secure=secure)

    def delete(self, path: str) -> bool:
        """Remove all versions; False when there was nothing.

        Raises:
            StoreError: as `get`.
        """
        check_path(path)
        name = self._name(path)
        answer = self._call_or_none(
            "ssm:DeleteParameter", path, lambda: self._ssm().delete_parameter(Name=name), none_for="ParameterNotFound"
        )
        return answer is not None

    def list(self, prefix: str, *, secure: bool | None = None) -> Iterator[Parameter]:
        """All newest versions below `prefix`, in the order of their paths; ten per call of AWS.

        Raises:
            StoreError: as `get`; also when a single secret cannot be decrypted.
        """
        check_path(prefix)
        request: dict[str, Any] = {"Path": self._name(prefix), "Recursive": True, "WithDecryption": secure is not False}
        if secure is not None:
            kind = _SECURE if secure else _PLAIN
            request["ParameterFilters"] = [{"Key": "Type", "Option": "Equals", "Values": [kind]}]

        def read() -> Iterator[Parameter]:
            pages = self._ssm().get_paginator("get_parameters_by_path")
            for page in pages.paginate(**request, PaginationConfig={"PageSize": _PAGE}):
                for answer in page["Parameters"]:
                    yield self._parameter(str(answer["Name"]).removeprefix(self.prefix), answer)

        found = self._call("ssm:GetParametersByPath", prefix, lambda: [*read()])
        return iter(sorted(found, key=lambda parameter: parameter.path))

    def secrets(self, prefix: str) -> Iterator[SecretFacts]:
        """The secure ones below `prefix`, in the order of their paths, and the keys that AWS encrypts them with.

        Raises:
            StoreError: as `get`. Its permission, `ssm:DescribeParameters`, cannot be granted for a path alone; workers
                do not need it.
        """
        check_path(prefix)
        filters: tuple[ParameterStringFilterTypeDef, ...] = (
            {"Key": "Path", "Option": "Recursive", "Values": [self._name(prefix)]},
            {"Key": "Type", "Option": "Equals", "Values": [_SECURE]},
        )

        def read() -> Iterator[SecretFacts]:
            pages = self._ssm().get_paginator("describe_parameters")
            for page in pages.paginate(ParameterFilters=filters, PaginationConfig={"PageSize": _PAGE_OF_NAMES}):
                for answer in page["Parameters"]:
                    key = answer.get("KeyId", DEFAULT_KEY)
                    yield SecretFacts(
                        path=answer["Name"].removeprefix(self.prefix),
                        version=answer["Version"],
                        kms_key=None if key == DEFAULT_KEY else key,
                    )

        found = self._call("ssm:DescribeParameters", prefix, lambda: [*read()])
        return iter(sorted(found, key=lambda facts: facts.path))

    def _get(self, path: str, version: int | None = None) -> Parameter | None:
        name = self._name(path) if version is None else f"{self._name(path)}:{version}"
        answer = self._call_or_none(
            "ssm:GetParameter",
            path,
            lambda: self._ssm().get_parameter(Name=name, WithDecryption=True),
            none_for="ParameterNotFound",
        )
        return None if answer is None else self._parameter(path, answer["Parameter"])

    def _expect(self, path: str, expected: int, *, secure: bool) -> None:
        """Compare with what is there, without decrypting it."""
        name = self._name(path)
        answer = self._call_or_none(
            "ssm:GetParameter",
            path,
            lambda: self._ssm().get_parameter(Name=name, WithDecryption=False),
            none_for="ParameterNotFound",
        )
        there = answer["Parameter"] if answer else None
        check_version(path, there["Version"] if there else 0, expected)
        if there is not None:
            check_kind(path, was_secure=there["Type"] == _SECURE, secure=secure)

    def _put(self, path: str, request: "PutParameterRequestTypeDef") -> int | None:
        """The number of the new version; None when there is something and it was not to be overwritten."""
        return self._call_or_none(
            "ssm:PutParameter", path, lambda: _patiently(lambda: self._send(request)), none_for="ParameterAlreadyExists"
        )

    def _send(self, request: "PutParameterRequestTypeDef") -> int:
        try:
            return self._ssm().put_parameter(**request)["Version"]
        except ClientError as error:
            other = _other_way(error, request)
            if other is None:
                raise
        return self._ssm().put_parameter(**other)["Version"]

    def _take_back(self, path: str, request: "PutParameterRequestTypeDef", *, version: int, winner: int) -> None:
        """Undo a write that came after somebody else's; when yet another one has followed, all stays as it is."""
        newest = self._get(path)
        if newest is None or newest.version != version:
            return
        if version == 1:
            # The path was deleted meanwhile, and must not come back to life.
            self.delete(path)
            return
        theirs = self._get(path, winner)
        if theirs is not None:
            text = theirs.value.get_secret_value()
            self._put(path, {**request, "Value": text, "Tier": _tier(len(text.encode()))})

    def _call(self, action: str, path: str, call: Callable[[], _T]) -> _T:
        """Call AWS.

        Raises:
            StoreError: says what was being done, what is wrong, and the mend.
        """
        try:
            return call()
        except (BotoCoreError, ClientError, ValueError) as error:
            found = explain(error, action=action)
        # Raised outside the handler: what boto3 raised may quote the value, and must not hang on this as its context.
        raise StoreError(f"cannot {_DOING[action]} {path} in SSM{self._where()}: {found}")

    def _call_or_none(self, action: str, path: str, call: Callable[[], _T], *, none_for: str) -> _T | None:
        """As `_call`; None when AWS answers with the code `none_for`."""

        def answer() -> _T | None:
            try:
                return call()
            except ClientError as error:
                if code_of(error) != none_for:
                    raise
            return None

        return self._call(action, path, answer)

    def _where(self) -> str:
        region = self._client.meta.region_name if self._client else self._region
        return f" ({region})" if region else ""

    def _name(self, path: str) -> str:
        return f"{self.prefix}{path}"

    @staticmethod
    def _parameter(path: str, answer: Any) -> Parameter:
        return Parameter(
            path=path,
            value=SecretStr(answer["Value"]),
            version=answer["Version"],
            secure=answer["Type"] == _SECURE,
        )

    def _ssm(self) -> "SSMClient":
        # Each time: somebody may have turned the loggers up since.
        quiet()
        with self._lock:
            if self._client is None:
                self._client = build_client("ssm", self._region)
            return self._client


def _tier(size: int) -> Literal["Standard", "Advanced"]:
    return "Standard" if size <= _STANDARD_BYTES else "Advanced"


def _other_way(error: ClientError, request: "PutParameterRequestTypeDef") -> "PutParameterRequestTypeDef | None":
    """How to write what AWS refused for a reason that only the refusal tells; None when there is no other way."""
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    if code == "ValidationException" and "advanced-parameter tier" in message and request.get("Tier") == "Standard":
        # Once advanced, always advanced: the value was larger before.
        return {**request, "Tier": "Advanced"}
    if code == "InvalidKeyId" and request.get("KeyId") == DEFAULT_KEY:
        # AWS makes the default key with the first secret of an account that does not name it.
        return {key: value for key, value in request.items() if key != "KeyId"}  # type: ignore[return-value]
    return None


def _patiently(call: Callable[[], _T]) -> _T:
    """Call again while others write the same parameter, which boto3 does not take for a reason to."""
    again = Retrying(
        retry=retry_if_exception(lambda error: code_of(error) == "TooManyUpdates"),
        stop=stop_after_attempt(6),
        wait=wait_random_exponential(multiplier=0.05, max=1),
        reraise=True,
    )
    return again(call)
