from pathlib import Path

import pytest
from pydantic import SecretStr

from workers.monitoring.access import Access, AccessRefused, choose_access, is_loopback, new_login


def access(
    address: str = "127.0.0.1",
    *,
    file: Path | None = None,
    setting: str | None = None,
    without: bool = False,
    **environ: str,
) -> Access:
    return choose_access(
        address=address,
        file=file,
        setting=SecretStr(setting) if setting else None,
        environ=environ,
        without=without,
    )


PUBLIC = pytest.mark.parametrize("address", ["0.0.0.0", "::", "", "10.1.2.3", "flower.example.com"])


@PUBLIC
def test_an_address_that_others_reach_needs_a_login(address: str) -> None:
    with pytest.raises(AccessRefused, match=r"BYOM_FLOWER_AUTH=USER:PASSWORD or give --basic-auth-file"):
        access(address)
    with pytest.raises(AccessRefused, match="Leave --no-auth out"):
        access(address, without=True, setting="ada:x")

    assert access(address, setting="ada:x").logins == ("ada:x",)


@PUBLIC
def test_an_api_without_login_is_refused_there_even_beside_a_login(address: str) -> None:
    with pytest.raises(AccessRefused, match="steer the workers"):
        access(address, setting="ada:x", FLOWER_UNAUTHENTICATED_API="true")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_this_machine_a_login_is_made_up_unless_none_is_wanted(address: str) -> None:
    made_up = access(address)

    assert made_up.made_up
    assert made_up.logins[0].startswith("operator:")
    assert len(made_up.logins[0]) > 30
    assert access(address, without=True) == Access()


def test_a_password_that_is_made_up_is_a_new_one_each_time_and_in_no_repr() -> None:
    logins = {new_login().get_secret_value() for _ in range(50)}

    assert len(logins) == 50
    assert access().logins[0] not in repr(access())
    assert "secret" not in repr(access(setting="ada:secret"))


def test_a_file_beats_the_setting_which_beats_flowers_own(tmp_path: Path) -> None:
    file = tmp_path / "logins"
    file.write_text("ada:one:with:colons\n\nbob:two,with,commas\n", encoding="utf-8")

    assert access(file=file, setting="x:y").logins == ("ada:one:with:colons", "bob:two,with,commas")
    assert access(setting="x:y, z:w", FLOWER_BASIC_AUTH="no:no").logins == ("x:y", "z:w")
    assert access("0.0.0.0", FLOWER_BASIC_AUTH="a:b").logins == ("a:b",)


def test_oauth_is_a_login_too() -> None:
    assert access("0.0.0.0", FLOWER_AUTH=".*@example.com") == Access()


@pytest.mark.parametrize("text", ["ada", "ada:", ":password", "ada:x,bob"])
def test_what_is_no_login_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(AccessRefused, match="is not USER:PASSWORD") as refused:
        access(setting=text)

    assert text not in str(refused.value)


def test_a_file_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AccessRefused, match="cannot read"):
        access(file=tmp_path / "nowhere")
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    with pytest.raises(AccessRefused, match="no login in"):
        access(file=tmp_path / "empty")


def test_a_name_is_not_taken_for_this_machine() -> None:
    assert not is_loopback("localhost.example.com")
