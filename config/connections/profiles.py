"""What is set for a project or an account as a whole."""

from decimal import Decimal
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.connections.documents import dump, load
from config.connections.paths import account_path, project_path
from config.errors import InvalidConnection
from config.store import ParameterStore, join_path
from tasks.contract.fields import Identifier
from tasks.contract.problems import problems

_P = TypeVar("_P", bound=BaseModel)

#: Bounds of a project's weight.
LEAST_WEIGHT: Final = 0.001
MOST_WEIGHT: Final = 1_000
#: What happens to jobs beyond a spend cap: they wait for the next day or month, or end `failed`.
OnSpendCap = Literal["wait", "fail"]
#: USD; in a document a string, so that nothing is rounded.
Usd = Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=6, allow_inf_nan=False)]


def check_weight(weight: float) -> None:
    """See that a number can be a project's weight.

    Raises:
        ValueError: it cannot.
    """
    if not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
        raise ValueError(f"a weight is a number from {LEAST_WEIGHT} to {MOST_WEIGHT}")


class ProjectProfile(BaseModel):
    """What is set for a project as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: The account whose connections are the project's defaults.
    account: Identifier | None = None
    #: The project's share of what it has to share with others: a weight of 3 gets three times the share of 1.
    weight: Annotated[float, Field(ge=LEAST_WEIGHT, le=MOST_WEIGHT, allow_inf_nan=False)] = 1.0
    #: Spend of all the project's connections together.
    spend_cap_day_usd: Usd | None = None
    spend_cap_month_usd: Usd | None = None
    on_spend_cap: OnSpendCap = "wait"
    #: Jobs of the project that may wait at once; more are refused when they are enqueued. Absent: no bound.
    max_waiting: Annotated[int, Field(ge=1)] | None = None


class AccountProfile(BaseModel):
    """What is set for an account as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: ARN of the customer's own KMS key, under which the secrets of the account and its projects are encrypted.
    kms_key: str | None = None


def read_project(store: ParameterStore, project: str) -> ProjectProfile | None:
    """The profile of a project, or None when there is no such project.

    Raises:
        InvalidConnection: it is stored damaged.
        StoreError: the store cannot be read, or this cannot be the name of a project.
    """
    return _read(store, project_path(project), ProjectProfile, f"the profile of project '{project}'")


def read_account(store: ParameterStore, account: str) -> AccountProfile:
    """The profile of an account; an account without one has the defaults.

    Raises:
        InvalidConnection: it is stored damaged.
        StoreError: the store cannot be read, or this cannot be the name of an account.
    """
    found = _read(store, account_path(account), AccountProfile, f"the profile of account '{account}'")
    return found or AccountProfile()


def write_project(store: ParameterStore, project: str, profile: ProjectProfile) -> None:
    """Write the profile of a project as a whole.

    Raises:
        StoreError: the store cannot be written, or this cannot be the name of a project.
    """
    _write(store, project_path(project), profile)


def write_account(store: ParameterStore, account: str, profile: AccountProfile) -> None:
    """Write the profile of an account as a whole.

    Raises:
        StoreError: the store cannot be written, or this cannot be the name of an account.
    """
    _write(store, account_path(account), profile)


def _read(store: ParameterStore, scope: str, model: type[_P], subject: str) -> _P | None:
    parameter = store.get(join_path(scope, "profile"))
    if parameter is None:
        return None
    document = load(parameter.value, subject)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        found = "; ".join(str(problem) for problem in problems(error, whole="profile"))
    raise InvalidConnection(f"{subject} is stored damaged: {found}; save it again")


def _write(store: ParameterStore, scope: str, profile: BaseModel) -> None:
    document = profile.model_dump(mode="json", exclude_defaults=True)
    store.put(join_path(scope, "profile"), dump(document), secure=False)
