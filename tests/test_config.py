"""Where a token and a base URL come from, in which order, and what is refused."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import platformdirs
import pytest
from keyring.backend import KeyringBackend

import lcnb
from conftest import TOKEN, Call
from lcnb import config, config_file, env_file, folder_names, folders, token_places
from lcnb.base_url import DEFAULT_BASE_URL
from lcnb.config import Settings, load_settings
from lcnb.errors import ConfigError, ConfigWarning, InputError, TokenMissing
from lcnb.secret import STARS, Secret
from lcnb.suggestions import did_you_mean
from lcnb.token_places import accounts

TWO_ACCOUNTS = """
[accounts.prod]
token_env = "PROD_TOKEN"
base_url = "https://prod.example.com/api/"
[accounts.lab]
token_env = "LAB_TOKEN"
"""


class Shelf(KeyringBackend):
    """A keyring that is a dict, and counts how often it is asked."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.asked: list[tuple[str, str]] = []

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.append((service, username))
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class Locked(Shelf):
    """A keyring that cannot be opened."""

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError(f"no D-Bus here; {TOKEN}")


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    before = keyring.get_keyring()
    backend = Shelf()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


class Place:
    """Puts tokens and settings where a person would."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> None:
        self.home = home
        self.env = monkeypatch.setenv
        self.shelf = shelf

    @property
    def config(self) -> Path:
        return self.home / "config"

    def toml(self, text: str) -> None:
        self.config.mkdir(exist_ok=True)
        (self.config / "lcnb.toml").write_text(text, encoding="utf-8")

    def file(self, name: str, text: str | bytes, mode: int = 0o600) -> Path:
        path = self.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path


@pytest.fixture
def place(own_home: Path, monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> Place:
    return Place(own_home, monkeypatch, shelf)


# --- the order of the places ----------------------------------------------------------------------------

# Name, how a token is put there, and how the place is told; the first that holds one is taken.
PLACES: list[tuple[str, Callable[[Place], None], str]] = [
    ("key", lambda place: place.env("LETSCLOUD_API_KEY", "test-token-of-place-key"), "environment variable LETSCLOUD_API_KEY"),
    ("token", lambda place: place.env("LETSCLOUD_API_TOKEN", "test-token-of-place-token"), "environment variable LETSCLOUD_API_TOKEN"),
    ("only", lambda place: place.toml('[accounts.a]\ntoken_env = "A_TOKEN"') or place.env("A_TOKEN", "test-token-of-place-only"), "environment variable A_TOKEN"),
    ("cli", lambda place: place.file(".letscloud", "LETSCLOUD_API_KEY=test-token-of-place-cli\n") and None, "file {home}/.letscloud"),
    ("ring", lambda place: place.shelf.set_password("lcnb", "default", "test-token-of-place-ring"), "keyring entry lcnb/default"),
]  # fmt: skip


@pytest.mark.parametrize("first", range(len(PLACES)), ids=[name for name, _, _ in PLACES])
def test_order(place: Place, first: int) -> None:
    """Of the places that hold a token the first is taken, and told as the source."""
    for _, put, _ in PLACES[first:]:
        put(place)
    name, _, told = PLACES[first]

    found = load_settings()

    assert found.token.reveal() == f"test-token-of-place-{name}"
    assert found.token_source == told.format(home=place.home)


def test_argument_first(place: Place) -> None:
    """A token that is passed beats every other place, as a text or as a Secret."""
    for _, put, _ in PLACES:
        put(place)
    for token in ("test-token-of-place-given", Secret("test-token-of-place-given")):
        found = load_settings(token=token)
        assert (found.token.reveal(), found.token_source) == (
            "test-token-of-place-given",
            "the token argument",
        )


def test_asked_in_turn(place: Place) -> None:
    """A keyring is not asked, and need not be unlocked, when an earlier place holds a token."""
    place.env("LETSCLOUD_API_KEY", "test-token-of-place-key")
    load_settings()
    assert place.shelf.asked == []


@pytest.mark.parametrize(
    ("toml", "put", "told"),
    [
        ('token_env = "A_TOKEN"', lambda place: place.env("A_TOKEN", "test-token-of-place-a"), "environment variable A_TOKEN"),
        ('token_file = "a.token"', lambda place: place.file("config/a.token", "test-token-of-place-a\n"), "file {home}/config/a.token"),
        ('token_file = "~/a.token"', lambda place: place.file("a.token", "  test-token-of-place-a \r\n"), "file {home}/a.token"),
        ('token_file = "{home}/a.token"', lambda place: place.file("a.token", "test-token-of-place-a", 0o400), "file {home}/a.token"),
        ('keyring = "other/ana"', lambda place: place.shelf.set_password("other", "ana", "test-token-of-place-a"), "keyring entry other/ana"),
        ('keyring = "x/y/ana"', lambda place: place.shelf.set_password("x/y", "ana", "test-token-of-place-a"), "keyring entry x/y/ana"),
        ('keyring = "ana"', lambda place: place.shelf.set_password("lcnb", "ana", "test-token-of-place-a"), "keyring entry lcnb/ana"),
        ("", lambda place: place.shelf.set_password("lcnb", "a", "test-token-of-place-a"), "keyring entry lcnb/a"),
    ],
)  # fmt: skip
def test_account(place: Place, toml: str, put: Callable[[Place], None], told: str) -> None:
    """An account has its token in a variable, a file or a keyring entry; without a word, in its own entry."""
    place.toml(f"[accounts.a]\n{toml.format(home=place.home)}")
    put(place)

    for found in (load_settings(), load_settings("a")):
        assert found.token.reveal() == "test-token-of-place-a"
        assert found.token_source == told.format(home=place.home)
        assert found.account == "a"


@pytest.mark.parametrize(
    ("toml", "account"),
    [
        (TWO_ACCOUNTS, None),
        (f'default = "lab"\n{TWO_ACCOUNTS}', "lab"),
        (f'default = "prod"\n{TWO_ACCOUNTS}', "prod"),
        ('[accounts.lab]\ntoken_env = "LAB_TOKEN"', "lab"),
    ],
)
def test_default_account(place: Place, toml: str, account: str | None) -> None:
    """The account that is used unasked is the default one, or the only one; of several none."""
    place.toml(toml)
    place.env("PROD_TOKEN", "test-token-of-place-prod")
    place.env("LAB_TOKEN", "test-token-of-place-lab")
    if account is None:
        with pytest.raises(TokenMissing, match="it has prod, lab, but no line `default ="):
            load_settings()
    else:
        found = load_settings()
        assert (found.account, found.token.reveal()) == (account, f"test-token-of-place-{account}")


@pytest.mark.parametrize(
    "text",
    [
        "LETSCLOUD_API_KEY=test-token-of-place-cli",
        "# the account\n\n  LETSCLOUD_API_KEY = test-token-of-place-cli  \n",
        'export LETSCLOUD_API_KEY="test-token-of-place-cli"\n',
        "OTHER=1\r\nLETSCLOUD_API_KEY='test-token-of-place-cli'\r\nLETSCLOUD_API_KEY=second\r\n",
    ],
)
def test_cli_file(place: Place, text: str) -> None:
    """The official CLI's file is read as a shell would: spaces, quotes, comments, `export`, Windows line ends."""
    place.file(".letscloud", text)
    assert load_settings().token.reveal() == "test-token-of-place-cli"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "test-token-of-place-cli",
        "LETSCLOUD_API_KEYS=test-token-of-place-cli",
        "#LETSCLOUD_API_KEY=test-token-of-place-cli",
    ],
)
def test_cli_file_without(place: Place, text: str) -> None:
    """A file without that line holds no token."""
    place.file(".letscloud", text)
    with pytest.raises(TokenMissing):
        load_settings()


# --- an account that is named ---------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["argument", "LCNB_ACCOUNT"])
def test_named_is_whole(place: Place, by: str) -> None:
    """An account that is named has its own token and base URL, whatever the environment holds."""
    place.toml(TWO_ACCOUNTS)
    place.env("PROD_TOKEN", "test-token-of-place-prod")
    place.env("LETSCLOUD_API_KEY", "test-token-of-place-key")
    place.env("LCNB_BASE_URL", "https://other.example.com")
    if by == "LCNB_ACCOUNT":
        place.env("LCNB_ACCOUNT", "prod")

    found = load_settings("prod" if by == "argument" else None)

    assert (found.account, found.token.reveal()) == ("prod", "test-token-of-place-prod")
    assert (found.base_url, found.base_url_source) == ("https://prod.example.com/api", "[accounts.prod]")


def test_named_without_token(place: Place) -> None:
    """A named account without a token is missing one: no other place stands in for it."""
    place.toml(TWO_ACCOUNTS)
    place.env("LETSCLOUD_API_KEY", "test-token-of-place-key")
    place.env("LAB_TOKEN", "test-token-of-place-lab")
    with pytest.raises(TokenMissing, match="for the account 'prod'") as caught:
        load_settings("prod")
    assert caught.value.looked_at == ("environment variable PROD_TOKEN",)


def test_argument_beats_variable(place: Place) -> None:
    """The account that is passed is taken, not that of LCNB_ACCOUNT; an empty variable names none."""
    place.toml(TWO_ACCOUNTS)
    place.env("LAB_TOKEN", "test-token-of-place-lab")
    place.env("LCNB_ACCOUNT", "prod")
    assert load_settings("lab").account == "lab"
    place.env("LCNB_ACCOUNT", "")
    place.env("LETSCLOUD_API_KEY", "test-token-of-place-key")
    assert load_settings().account is None


def test_environment_takes_no_account(place: Place) -> None:
    """A token of the environment goes to the default base URL, not to that of the default account."""
    place.toml(f'default = "prod"\n{TWO_ACCOUNTS}')
    place.env("LETSCLOUD_API_KEY", "test-token-of-place-key")
    found = load_settings()
    assert (found.account, found.base_url) == (None, DEFAULT_BASE_URL)


def test_token_with_account(place: Place) -> None:
    """A token that is passed with an account goes to that account's base URL."""
    place.toml(TWO_ACCOUNTS)
    found = load_settings("prod", token="test-token-of-place-given")
    assert (found.account, found.base_url) == ("prod", "https://prod.example.com/api")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "prd",
            r"account 'prd' is not in .*lcnb\.toml \(did you mean 'prod'\?\)\. Accounts there: prod, lab",
        ),
        ("PROD", r"did you mean 'prod'\?"),
        ("zzz", r"account 'zzz' is not in .*lcnb\.toml\. Accounts there: prod, lab"),
        ("", r"account '' is not in"),
    ],
)
def test_unknown_account(place: Place, name: str, message: str) -> None:
    """An unknown account is refused with the nearest name and the accounts that there are."""
    place.toml(TWO_ACCOUNTS)
    for arguments in ({}, {"token": TOKEN}):
        with pytest.raises(ConfigError, match=message):
            load_settings(name, **arguments)


def test_unknown_account_without_file() -> None:
    """Without an lcnb.toml no account can be named, and the error says where it would be."""
    with pytest.raises(
        ConfigError,
        match=r"account 'prod' is not in .*config/lcnb\.toml, which does not exist",
    ):
        load_settings("prod")


# --- lcnb.toml ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[accounts.a]\ntoken = "canary"', r"\[accounts\.a\]: a token does not belong in this file"),
        ('[accounts.a]\ntokenfile = "x"', r"\[accounts\.a\]: unknown key 'tokenfile' \(did you mean 'token_file'\?\)\. Known: token_env, token_file, keyring, base_url"),
        ('[accounts.a]\nzzz = "x"', r"unknown key 'zzz'\. Known"),
        ('token = "canary"', r"the top level: unknown key 'token'\. Known: default, accounts"),
        ('[account.a]\ntoken_env = "X"', r"the top level: unknown key 'account' \(did you mean 'accounts'\?\)"),
        ("default = 5", "default must be the name of an account, got 5"),
        ('default = "prd"\n[accounts.prod]', r"default 'prd' is not in .* \(did you mean 'prod'\?\)"),
        ("accounts = []", r"accounts must be tables, each as \[accounts\.NAME\]"),
        ('[accounts]\na = "x"', r"accounts must be tables"),
        ("[accounts.a]\ntoken_env = 5", "token_env must be a text, got 5"),
        ('[accounts.a]\nbase_url = ""', "base_url must be a text, got ''"),
        ('[accounts.a]\ntoken_env = "A"\nkeyring = "b"', "name one of token_env, token_file, keyring, not several"),
        ("accounts = [", r"lcnb\.toml cannot be read: .*at end of document"),
        ('[accounts.a]\ntoken = canary', r"lcnb\.toml cannot be read: .*line 2"),
        ("[accounts.a]\n[accounts.a]", r"lcnb\.toml cannot be read: .*line 2"),
    ],
)  # fmt: skip
def test_wrong_toml(place: Place, text: str, message: str) -> None:
    """A file that is wrong is refused with its name, the place in it and the cure; no value of a token is told."""
    place.toml(text)
    place.env("LETSCLOUD_API_KEY", "test-token-of-place-key")
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings()
    assert "lcnb.toml" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_d8_byte_order_marks(place: Place) -> None:
    """A byte order mark in lcnb.toml and in a token file, as Windows editors write it, is left out."""
    place.file("config/lcnb.toml", b"\xef\xbb\xbf" + b'[accounts.lab]\ntoken_file = "lab.token"\n')
    place.file("config/lab.token", b"\xef\xbb\xbftest-token-of-lab-account\r\n").chmod(0o600)
    assert load_settings("lab").token == Secret("test-token-of-lab-account")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_d8_other_encodings(place: Place, encoding: str) -> None:
    """lcnb.toml in another encoding is one line that names the cure; of a token nothing is shown."""
    place.file("config/lcnb.toml", '[accounts.lab]\ntoken_file = "lab.token"\n'.encode(encoding))
    with pytest.raises(ConfigError, match=r"lcnb\.toml cannot be read: it is UTF-16.*save it as UTF-8$"):
        load_settings("lab")
    place.toml('[accounts.lab]\ntoken_file = "lab.token"\n')
    place.file("config/lab.token", "t-lab".encode(encoding)).chmod(0o600)
    with pytest.raises(ConfigError, match=r"lab\.token") as caught:
        load_settings("lab")
    assert "\n" not in str(caught.value)
    assert "t-lab" not in str(caught.value)


def test_toml_is_no_text(place: Place) -> None:
    """A file that is no UTF-8, or no file, is refused with its name."""
    place.file("config/lcnb.toml", b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"lcnb\.toml cannot be read: .*not UTF-8"):
        load_settings()
    (place.config / "lcnb.toml").unlink()
    (place.config / "lcnb.toml").mkdir()
    with pytest.raises(ConfigError, match=r"lcnb\.toml cannot be read: .*directory"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("PROD", ["prod"], " (did you mean 'prod'?)"),
        ("mia-1", ["MIA1", "DAL1"], " (did you mean 'MIA1'?)"),
        ("xyz", ["prod"], ""),
        ("x", [], ""),
        (5, ["prod"], ""),
        ("web-1", ["web-10", "web-12", "web-01"], " (did you mean 'web-01'?)"),
        ("Web-001", ["web-100", "web-1"], " (did you mean 'web-1'?)"),
    ],
)
def test_did_you_mean(name: str, known: list[str], expected: str) -> None:
    """A near name is suggested as it is written, whatever its case; a far one is not."""
    assert did_you_mean(name, known) == expected


# --- files with a token ---------------------------------------------------------------------------------


#: As the provider makes them: 54 characters with dollar signs.
REAL = "$2Y$10$" + "K7QZ0MWX3RV9" * 3 + "ABCDEFGHIJ9"


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o620, 0o610, 0o601])
def test_open_file(place: Place, mode: int) -> None:
    """A token file that others may read, write or enter is refused with the command that cures it."""
    place.toml('[accounts.a]\ntoken_file = "a.token"')
    path = place.file("config/a.token", f"LETSCLOUD_API_KEY={TOKEN}", mode)
    with pytest.raises(ConfigError, match=re.escape(f"(mode {mode:04o})")) as caught:
        load_settings()
    assert f"chmod 600 {path}" in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o664, 0o660, 0o620, 0o755])
def test_d15_open_file_of_the_official_cli(place: Place, mode: int) -> None:
    """The official CLI's file is used with any mode that its umask gives; the warning names a command that cures it."""
    path = place.file(".letscloud", f"LETSCLOUD_API_KEY={REAL}\n", mode)
    with pytest.warns(ConfigWarning, match=re.escape(f"(mode {mode:04o})")) as caught:
        assert load_settings().token.reveal() == REAL
    message = str(caught[0].message)
    assert REAL not in message
    assert accounts()["problem"].dropna().tolist() == [message]
    subprocess.run(["sh", "-c", message.partition("Cure, once: ")[2]], check=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_settings().token.reveal() == REAL


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mode", [0o666, 0o602, 0o777])
def test_d15_file_that_others_may_change(place: Place, mode: int) -> None:
    """A file that everybody may change could name somebody else's account: it is refused with the cure."""
    path = place.file(".letscloud", f"LETSCLOUD_API_KEY={REAL}\n", mode)
    with pytest.raises(ConfigError, match=re.escape(f"may be changed by others (mode {mode:04o})")) as caught:
        load_settings()
    assert f"chmod 600 {path}" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"LETSCLOUD_API_KEY={REAL}",
        f"LETSCLOUD_API_KEY='{REAL}'\n",
        f'LETSCLOUD_API_KEY="{REAL}"\r\n',
        f"\ufeffLETSCLOUD_API_KEY={REAL}\r\n",
        f"export LETSCLOUD_API_KEY = '{REAL}'   # my account\n",
        f"LETSCLOUD_API_KEY={REAL}   # my account\n",
        "LETSCLOUD_API_KEY=" + REAL.replace("$", "\\$"),
        'LETSCLOUD_API_KEY="' + REAL.replace("$", "\\$") + '"',
        f"not a line\n\tLETSCLOUD_API_KEY\t=\t{REAL}\t\n",
    ],
)
@pytest.mark.parametrize("name", [".letscloud", "config/a.token"])
def test_d15_forms_of_the_file(place: Place, text: str, name: str) -> None:
    """A token with dollar signs is read whole from each form of the line, in the CLI's file and in a token file."""
    if name != ".letscloud":
        place.toml('[accounts.a]\ntoken_file = "a.token"')
    place.file(name, text)
    assert load_settings().token.reveal() == REAL


@pytest.mark.parametrize("text", [REAL, f"'{REAL}'", f'"{REAL}"\r\n', f"\ufeff{REAL}\n", f"  {REAL}  \n\n"])
def test_b1_token_file(place: Place, text: str) -> None:
    """A token file holds the token alone; quotes around it and a byte order mark are no part of it."""
    place.toml('[accounts.a]\ntoken_file = "a.token"')
    place.file("config/a.token", text)
    assert load_settings().token.reveal() == REAL


@pytest.mark.parametrize(
    "text", [f"LETSCLOUD_API_KEY='{REAL}", f"LETSCLOUD_API_KEY=\"{REAL}' x", "LETSCLOUD_API_KEY='a' b"]
)
def test_d15_open_quote(place: Place, text: str) -> None:
    """A quote that is not closed is named with its line, and the token is not shown."""
    place.file(".letscloud", text)
    with pytest.raises(ConfigError, match=r"\.letscloud: line 1: a quote is not closed") as caught:
        load_settings()
    assert "2Y" not in str(caught.value)


VARIABLES = f"""\ufeff# for the night
LAB_TOKEN='{REAL}'
export OTHER="{REAL}"  # as a shell has it\r
PLAIN={REAL}
ESCAPED=\\$2Y
; a comment
EMPTY=
LCNB_NOTIFY='mailto://u:p#w@example.com json://localhost'
"""


def test_b1_file_of_variables(place: Place) -> None:
    """A file of variables is read, never run: dollar signs, commands and hashes arrive as they are written."""
    path = place.file("job.env", VARIABLES + "RUN='$(touch made) `touch made`'\n")
    found = {name: secret.reveal() for name, secret in env_file.read_variables(path).items()}
    assert found == {
        "LAB_TOKEN": REAL,
        "OTHER": REAL,
        "PLAIN": REAL,
        "ESCAPED": "$2Y",
        "EMPTY": "",
        "LCNB_NOTIFY": "mailto://u:p#w@example.com json://localhost",
        "RUN": "$(touch made) `touch made`",
    }
    assert REAL not in repr(env_file.read_variables(path))


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (None, 0o600, "No such file"),
        ("A=1", 0o644, r"mode 0644.*chmod 600"),
        ("A=1\nA=2", 0o600, "A is there twice"),
        ("A=1\nB", 0o600, "line 2 is not NAME='value'"),
        ("2A=1", 0o600, "line 1 is not NAME='value'"),
        ("A='$x", 0o600, "line 1: a quote is not closed"),
        (b"A=\xff", 0o600, "not UTF-8"),
    ],
)
def test_b1_odd_file_of_variables(place: Place, text: str | bytes | None, mode: int, told: str) -> None:
    """A file of variables that is missing, open to others or malformed is refused with the line and the cure."""
    path = place.home / "job.env" if text is None else place.file("job.env", text, mode)
    with pytest.raises(ConfigError, match=f"{re.escape(str(path))}.*{told}"):
        env_file.read_variables(path)


@pytest.mark.parametrize(
    ("toml", "cure"),
    [
        ('[accounts.lab]\ntoken_env = "LAB_TOKEN"', "then: export LAB_TOKEN='...' (keep the single quotes"),
        ('[accounts.lab]\ntoken_env = "X9"', "then: export X9='...' (keep the single quotes"),
        ('[accounts.lab]\ntoken_file = "my token"', "into the file {config}/my token, alone and without quotes, and run: chmod 600 '{config}/my token'"),
        ('[accounts.lab]\ntoken_file = "~/t"', "into the file {home}/t, alone and without quotes, and run: chmod 600 {home}/t"),
        ('[accounts.lab]\nkeyring = "a b/ops"', "keyring set 'a b' ops"),
        ("[accounts.lab]", "keyring set lcnb lab"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by", ["argument", "LCNB_ACCOUNT", "default"])
def test_d5_cure_of_an_account(place: Place, toml: str, cure: str, by: str) -> None:
    """An account without its token: the error says how to put it where that account looks for it, and only there."""
    place.toml(f'default = "lab"\n{toml}' if by == "default" else toml)
    if by == "LCNB_ACCOUNT":
        place.env("LCNB_ACCOUNT", "lab")
    with pytest.raises(TokenMissing) as caught:
        load_settings("lab" if by == "argument" else None)
    message = str(caught.value)
    assert cure.format(config=place.config, home=place.home) in message
    assert "for the account 'lab'" in message
    assert "export LETSCLOUD_API_KEY" not in message


def test_b1_advice_without_an_account(place: Place) -> None:
    """The command that the error shows gives a shell the whole token, dollar signs and all."""
    with pytest.raises(TokenMissing) as caught:
        load_settings()
    command = re.search(r"export LETSCLOUD_API_KEY='\.\.\.'", str(caught.value))
    assert command
    shown = subprocess.run(
        ["sh", "-c", f'{command[0].replace("...", REAL)}; printf %s "$LETSCLOUD_API_KEY"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout == REAL


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_closed_file(place: Place, mode: int) -> None:
    """A token file of its owner alone is read."""
    place.file(".letscloud", f"LETSCLOUD_API_KEY={TOKEN}", mode)
    assert load_settings().token.reveal() == TOKEN


def test_open_file_unused(place: Place) -> None:
    """A file that is not needed may be as it is."""
    place.file(".letscloud", f"LETSCLOUD_API_KEY={TOKEN}", 0o644)
    place.env("LETSCLOUD_API_KEY", "test-token-of-place-key")
    assert load_settings().token.reveal() == "test-token-of-place-key"


@pytest.mark.parametrize(
    ("toml", "content", "message"),
    [
        ('token_file = "a.token"', b"\xff\xfe\x00", "the token file .*a.token: .*not UTF-8"),
        ('token_file = "."', None, "the token file .*config: it is a directory, not a regular file"),
        ('token_file = "a\\u0000b"', None, "the token file .*null byte"),
        ('token_file = "~nobody-here/a"', None, "the token file ~nobody-here/a: .*home directory"),
    ],
)
def test_odd_file(place: Place, toml: str, content: bytes | None, message: str) -> None:
    """A token file that cannot be read is a ConfigError that names it, not a traceback from within."""
    place.toml(f"[accounts.a]\n{toml}")
    if content is not None:
        place.file("config/a.token", content)
    with pytest.raises(ConfigError, match=message):
        load_settings("a")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", [".letscloud", "config/a.token"])
@pytest.mark.parametrize(
    ("kind", "word"), [("pipe", "a pipe"), ("device", "a device"), ("socket", "a socket")]
)
def test_no_regular_file(place: Place, name: str, kind: str, word: str) -> None:
    """A token file that is a pipe, a device or a socket is refused before it is opened: nobody may ever write to it."""
    if name != ".letscloud":
        place.toml('[accounts.a]\ntoken_file = "a.token"')
    path = place.home / name
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    with pytest.raises(ConfigError, match=f"the token file {path}: it is {word}, not a regular file"):
        load_settings()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_variables_of_a_pipe(place: Place) -> None:
    """The file of variables may be a pipe, as a shell makes one of `<(command)`."""
    reader, writer = os.pipe()
    os.write(writer, b"A='$x'\n")
    os.close(writer)
    try:
        found = env_file.read_variables(Path(f"/dev/fd/{reader}"))
    finally:
        os.close(reader)
    assert {name: secret.reveal() for name, secret in found.items()} == {"A": "$x"}


# --- the token itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [f"{TOKEN}\n", f" {TOKEN}", f"{TOKEN} x", f"{TOKEN}\r\nHost: evil", f"{TOKEN}é", f"{TOKEN}\x00", f"{TOKEN}\t", f"{TOKEN}\x7f", f"{TOKEN}\u200b"],
)  # fmt: skip
def test_odd_token(place: Place, token: str) -> None:
    """A token that no header could carry is refused, wherever it came from, and is not shown."""
    place.toml('[accounts.ring]\n[accounts.env]\ntoken_env = "A_TOKEN"')
    if "\x00" not in token:
        place.env("A_TOKEN", token)
    place.shelf.set_password("lcnb", "ring", f"{token}x")  # what stands at the ends is cut off there
    asked: list[Callable[[], Settings]] = [
        lambda: load_settings(token=token),
        lambda: load_settings(token=Secret(token)),
    ]
    asked += [] if "\x00" in token else [lambda: load_settings("env")]
    asked += [lambda: load_settings("ring")] if token.strip()[0] == TOKEN[0] and token[0] != " " else []
    for ask in asked:
        with pytest.raises(
            ConfigError, match=r"contains .*, which no token does: it is character \d+ of \d+\."
        ) as caught:
            ask()
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "what"),
    [
        (f" {TOKEN}", "contains a space, which no token does: it is character 1 of"),
        (
            f"{TOKEN} ",
            f"contains a space, which no token does: it is character {len(TOKEN) + 1} of {len(TOKEN) + 1}",
        ),
        (f"{TOKEN}\r\n", f"contains a line end, which no token does: it is character {len(TOKEN) + 1}"),
        (f"\t{TOKEN}", "contains a tab, which no token does: it is character 1 of"),
        (f"\ufeff{TOKEN}", r"contains ZERO WIDTH NO-BREAK SPACE \(U\+FEFF\), which no token does"),
        (f"{TOKEN}\x7f", r"contains a control character \(U\+007F\)"),
        (f"'{TOKEN}'", "still has a quote around it"),
        (f'"{TOKEN}"', "still has a quote around it"),
        (f"'{TOKEN}", "still has a quote around it"),
        (f"“{TOKEN}”", "still has a quote around it"),
        (f"`{TOKEN}`", "still has a quote around it"),
        ("'Y0/", "still has a quote around it"),
        (f"LETSCLOUD_API_KEY={TOKEN}", "is a whole assignment.*Keep only what follows the ="),
        (f"export LETSCLOUD_API_KEY='{TOKEN}'", "is a whole assignment"),
        (f'LAB_TOKEN = "{TOKEN}"', "is a whole assignment"),
        (f"$env:LETSCLOUD_API_KEY = '{TOKEN}'", "is a whole assignment"),
        (f"LETSCLOUD_API_KEY={TOKEN}\n", "is a whole assignment"),
        (f"Bearer {TOKEN}", "is a part of a header"),
        (f"Authorization: Bearer {TOKEN}", "is a part of a header"),
        (f"api-token: {TOKEN}", "is a part of a header"),
        (f"\\{TOKEN}", "contains a backslash, which no token does.*Leave out the backslashes"),
        ("\\$2Y\\$10\\$" + TOKEN, "contains a backslash"),
    ],
)
def test_wrong_character_of_a_token(place: Place, token: str, what: str) -> None:
    """A token with something too many, such as the quotes for a shell or the name of its variable, is refused for it."""
    place.env("LETSCLOUD_API_KEY", token)
    for ask in (load_settings, lambda: load_settings(token=token)):
        with pytest.raises(ConfigError, match=what) as caught:
            ask()
        assert str(caught.value).endswith("Nothing was sent.")
        assert TOKEN not in str(caught.value)
    assert not accounts().ready.any()


@pytest.mark.parametrize("token", ["T", "Y0", "token", "$2Y$10$", "x" * 19, "sandbox", "12345678"])
def test_d14_short_token(place: Place, token: str) -> None:
    """A text that is too short for a token, such as what a shell leaves of one, is refused with the cause and the cure."""
    place.toml('[accounts.file]\ntoken_file = "a.token"\n[accounts.ring]')
    place.env("LETSCLOUD_API_KEY", token)
    place.file("config/a.token", token)
    place.shelf.set_password("lcnb", "ring", token)
    for ask in (
        load_settings,
        lambda: load_settings(token=token),
        lambda: load_settings("file"),
        lambda: load_settings("ring"),
    ):
        with pytest.raises(
            ConfigError, match=r"has only \d+ characters?\. A LetsCloud token has 54.*Outside single quotes"
        ) as caught:
            ask()
        assert "Nothing was sent" in str(caught.value)
    assert not accounts().ready.any()


@pytest.mark.parametrize("token", ["x" * 20, TOKEN, "$2Y$10$" + "AB12" * 11 + "ABC", "x" * 20 + "=="])
def test_d14_whole_token(place: Place, token: str) -> None:
    """A token of LetsCloud's shape, and one of a sandbox, are taken as they are."""
    place.env("LETSCLOUD_API_KEY", token)
    assert load_settings().token.reveal() == token


def test_empty_token(place: Place) -> None:
    """An empty token that is passed is refused: it does not fall back to another one."""
    place.env("LETSCLOUD_API_KEY", "test-token-of-place-key")
    for token in ("", Secret("")):
        with pytest.raises(ConfigError, match="the token from the token argument is empty"):
            load_settings(token=token)


@pytest.mark.parametrize("token", [5, b"bytes", ["list"]])
def test_token_is_a_text(token: object) -> None:
    """A token of another type is refused by the name of its type."""
    with pytest.raises(ConfigError, match=f"token: expected a text, got {type(token).__name__}"):
        load_settings(token=token)


def test_empty_variable(place: Place) -> None:
    """An empty variable holds no token, and the next place is asked."""
    place.env("LETSCLOUD_API_KEY", "")
    place.env("LETSCLOUD_API_TOKEN", "test-token-of-place-token")
    assert load_settings().token.reveal() == "test-token-of-place-token"


def test_no_token(place: Place) -> None:
    """Without any token the error names each place that was looked at, where to make one, and the sandbox."""
    with pytest.raises(TokenMissing) as caught:
        load_settings()
    assert caught.value.looked_at == (
        "environment variable LETSCLOUD_API_KEY",
        "environment variable LETSCLOUD_API_TOKEN",
        f"an account in {place.config}/lcnb.toml",
        f"file {place.home}/.letscloud",
        "keyring entry lcnb/default",
    )
    for each in (*caught.value.looked_at, "your profile, tab API", "lcnb.connect(sandbox=True)", "lcnb demo"):
        assert each in str(caught.value)


def test_locked_keyring(place: Place) -> None:
    """A keyring that cannot be opened holds no token; the place says why, and nothing of the error's text."""
    keyring.set_keyring(Locked())
    with pytest.raises(TokenMissing) as caught:
        load_settings()
    assert caught.value.looked_at[-1] == "keyring entry lcnb/default (cannot be read here: RuntimeError)"
    assert TOKEN not in str(caught.value)


# --- base URL and time-out ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.letscloud.io", "https://api.letscloud.io"),
        ("https://api.letscloud.io/", "https://api.letscloud.io"),
        (" https://h.example.com:8443/a/b// ", "https://h.example.com:8443/a/b"),
        ("http://127.0.0.1:8000/api", "http://127.0.0.1:8000/api"),
        ("http://127.8.9.1/api", "http://127.8.9.1/api"),
        ("http://[::1]:8000/api", "http://[::1]:8000/api"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://LOCALHOST", "http://localhost"),
    ],
)
def test_base_url(place: Place, url: str, expected: str) -> None:
    """HTTPS anywhere and plain HTTP on this machine are taken, without a slash at the end."""
    assert load_settings(token=TOKEN, base_url=url).base_url == expected
    place.env("LCNB_BASE_URL", url)
    found = load_settings(token=TOKEN)
    assert (found.base_url, found.base_url_source) == (expected, "LCNB_BASE_URL")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://core.letscloud.io/api", "plain HTTP: the token would cross the network unencrypted"),
        ("http://localhost.evil.com", "plain HTTP"),
        ("http://127.0.0.1.evil.com", "plain HTTP"),
        ("http://0.0.0.0", "plain HTTP"),
        ("http://10.0.0.1", "plain HTTP"),
        ("https://user:canary@h.example.com", "more than a host and a path"),
        ("https://canary@h.example.com", "more than a host and a path"),
        ("https://user:canary@h.example.com:99999", "more than a host and a path"),
        ("ftp://user:canary@h.example.com", "more than a host and a path"),
        ("http://127.0.0.1@evil.com", "more than a host and a path"),
        ("http://127.0.0.1\\@evil.com", "more than a host and a path"),
        ("https://h.example.com?token=canary", "more than a host and a path"),
        ("https://h.example.com/api?", "more than a host and a path"),
        ("https://h.example.com/api#x", "more than a host and a path"),
        ("https://h.example.com/api#", "more than a host and a path"),
        ("core.letscloud.io/api", "is not a URL"),
        ("ftp://h.example.com", "is not a URL"),
        ("file:///etc/passwd", "is not a URL"),
        ("https://", "is not a URL"),
        ("https:///api", "is not a URL"),
        ("https://h.example.com:99999", "is not a URL"),
        ("https://h.example.com:x", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://h.exa\nmple.com", "is not a URL"),
        ("https://h.example.com/a b", "is not a URL"),
        ("nonsense", "is not a URL"),
    ],
)  # fmt: skip
def test_wrong_base_url(place: Place, url: str, message: str) -> None:
    """Another URL is refused by whichever way it came, and a password in it is not told."""
    place.toml(f"[accounts.a]\nbase_url = {config_text(url)}")
    with pytest.raises(ConfigError, match=message) as given:
        load_settings(token=TOKEN, base_url=url)
    with pytest.raises(ConfigError, match=r"from \[accounts\.a\].*") as account:
        load_settings("a", token=TOKEN)
    place.env("LCNB_BASE_URL", url)
    with pytest.raises(ConfigError, match="from LCNB_BASE_URL") as environment:
        load_settings(token=TOKEN)
    for caught in (given, account, environment):
        assert message in str(caught.value)
        assert "canary" not in str(caught.value)


def config_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace("\n", "\\n") + '"'


@pytest.mark.parametrize("url", ["", 5, []])
def test_base_url_is_a_url(url: object) -> None:
    """An empty base URL that is passed, or one of another type, is refused: it is not the default."""
    with pytest.raises(ConfigError, match="is not a URL"):
        load_settings(token=TOKEN, base_url=url)


@pytest.mark.parametrize(
    ("argument", "account", "variable", "expected", "source"),
    [
        (None, None, None, DEFAULT_BASE_URL, "the default"),
        (None, None, "", DEFAULT_BASE_URL, "the default"),
        (None, None, "https://env.example.com", "https://env.example.com", "LCNB_BASE_URL"),
        (None, "prod", "https://env.example.com", "https://prod.example.com/api", "[accounts.prod]"),
        (None, "lab", "https://env.example.com", DEFAULT_BASE_URL, "the default"),
        ("https://arg.example.com", "prod", "https://env.example.com", "https://arg.example.com", "the base_url argument"),
    ],
)  # fmt: skip
def test_base_url_order(
    place: Place, argument: str | None, account: str | None, variable: str | None, expected: str, source: str
) -> None:
    """The argument comes first, then the named account's or the provider's; LCNB_BASE_URL is for unnamed ones."""
    place.toml(TWO_ACCOUNTS)
    if variable is not None:
        place.env("LCNB_BASE_URL", variable)
    found = load_settings(account, token=TOKEN, base_url=argument)
    assert (found.base_url, found.base_url_source) == (expected, source)


@pytest.mark.parametrize(
    ("argument", "variable", "expected"),
    [
        (None, None, 60.0),
        (None, "", 60.0),
        (None, "5", 5.0),
        (None, " 0.5 ", 0.5),
        (7, "5", 7.0),
        (86_399, None, 86_399.0),
    ],
)
def test_timeout(place: Place, argument: float | None, variable: str | None, expected: float) -> None:
    """The time-out is the argument, or LCNB_TIMEOUT, or 60 seconds."""
    if variable is not None:
        place.env("LCNB_TIMEOUT", variable)
    assert load_settings(token=TOKEN, timeout=argument).timeout == expected


@pytest.mark.parametrize(
    ("value", "by"),
    [(0, "argument"), (-1, "argument"), (86_400, "argument"), (float("nan"), "argument"), (float("inf"), "argument"), (10**400, "argument"), ("x", "argument"), ([], "argument"), ("0", "variable"), ("-5", "variable"), ("nan", "variable"), ("1e400", "variable"), ("soon", "variable"), ("5s", "variable")],
)  # fmt: skip
def test_wrong_timeout(place: Place, value: object, by: str) -> None:
    """A time-out that is no number of seconds between 0 and a day is refused by the name of its source."""
    source = "the timeout argument" if by == "argument" else "LCNB_TIMEOUT"
    if by == "variable":
        place.env("LCNB_TIMEOUT", str(value))
    with pytest.raises(ConfigError, match=f"{source}: expected seconds above 0 and below 86400"):
        load_settings(token=TOKEN, timeout=value if by == "argument" else None)


@pytest.mark.parametrize(("variable", "expected"), [(None, 150.0), ("", 150.0), ("5", 5.0)])
def test_settle(place: Place, variable: str | None, expected: float) -> None:
    """How long an unknown create is looked for is LCNB_SETTLE, or 150 seconds."""
    if variable is not None:
        place.env("LCNB_SETTLE", variable)
    assert load_settings(token=TOKEN).settle == expected


@pytest.mark.parametrize("variable", ["0", "-1", "nan", "long"])
def test_wrong_settle(place: Place, variable: str) -> None:
    """Another value of LCNB_SETTLE is refused by its name."""
    place.env("LCNB_SETTLE", variable)
    with pytest.raises(ConfigError, match="LCNB_SETTLE: expected seconds above 0"):
        load_settings(token=TOKEN)


# --- folders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "variable"),
    [(folders.config_dir, "LCNB_CONFIG_DIR"), (folders.state_dir, "LCNB_STATE_DIR"), (folders.runs_dir, "LCNB_RUNS_DIR")],
)  # fmt: skip
def test_folders(place: Place, folder: Callable[[], Path], variable: str) -> None:
    """Each folder is that of its variable, absolute; an empty variable is none."""
    place.env(variable, "~/mine")
    assert folder() == place.home / "mine"
    place.env(variable, "mine")
    assert folder() == Path.cwd() / "mine"
    place.env(variable, "")
    assert folder().is_absolute()
    assert folder().name == ("runs" if variable == "LCNB_RUNS_DIR" else "lcnb")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
@pytest.mark.parametrize("home", ["/home/ana", "relative", None])
@pytest.mark.parametrize("base", ["/srv/state", "/srv/state/", "relative", "", None])
def test_folder_without_platformdirs(
    home: str | None, base: str | None, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a folder is found without platformdirs, platformdirs finds the same."""
    monkeypatch.delenv("LCNB_STATE_DIR", raising=False)
    for name, value in (("HOME", home), ("XDG_STATE_HOME", base)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    found = folder_names.state_folder_name()
    if found is None:
        assert "relative" in (home, base) or home is None
    else:
        assert Path(found) == platformdirs.user_state_path("lcnb", appauthor=False)


def test_nothing_is_made(place: Place) -> None:
    """Asking for settings makes no file and no folder."""
    load_settings(token=TOKEN)
    accounts()
    assert list(place.home.iterdir()) == []


@pytest.mark.parametrize("variable", list(config.ENVIRONMENT_VARIABLES))
def test_variables_are_documented(variable: str) -> None:
    """Each variable in the list is read by one of these modules, and has a text that says what it sets."""
    modules = (config, config_file, folders, token_places)
    source = "".join(Path(each.__file__).read_text(encoding="utf-8") for each in modules)
    assert source.count(f'"{variable}"') >= 2
    assert config.ENVIRONMENT_VARIABLES[variable]


# --- what is shown --------------------------------------------------------------------------------------


def test_settings_are_masked() -> None:
    """The repr of settings and of places has stars where the token is."""
    shown = repr(load_settings(token=TOKEN))
    assert STARS in shown
    assert TOKEN not in shown


def test_settings_are_frozen() -> None:
    """Settings cannot be changed once they are made."""
    with pytest.raises(AttributeError):
        load_settings(token=TOKEN).timeout = 5


def full(place: Place) -> None:
    """Every place holds the token, one of them where others may read it."""
    place.toml(
        '[accounts.env]\ntoken_env = "A_TOKEN"\nbase_url = "https://a.example.com"\n'
        '[accounts.file]\ntoken_file = "a.token"\n[accounts.open]\ntoken_file = "b.token"\n'
        '[accounts.ring]\n[accounts.none]\ntoken_env = "NO_TOKEN"\n[accounts.odd]\ntoken_env = "ODD_TOKEN"'
    )
    for name in ("LETSCLOUD_API_KEY", "LETSCLOUD_API_TOKEN", "A_TOKEN"):
        place.env(name, TOKEN)
    place.env("ODD_TOKEN", f"{TOKEN}\n")
    place.file("config/a.token", TOKEN)
    place.file("config/b.token", TOKEN, 0o644)
    place.file(".letscloud", f"LETSCLOUD_API_KEY={TOKEN}")
    place.shelf.set_password("lcnb", "ring", TOKEN)
    place.shelf.set_password("lcnb", "default", TOKEN)


def test_accounts(place: Place) -> None:
    """The list of accounts has a row a place, in order, with what is wrong there."""
    full(place)
    frame = accounts()
    assert frame["account"].fillna("").tolist() == [
        "",
        "",
        "env",
        "file",
        "open",
        "ring",
        "none",
        "odd",
        "",
        "",
    ]
    assert frame["ready"].tolist() == [True, True, True, True, False, True, False, False, True, True]
    assert (
        frame["base_url"].tolist()
        == [DEFAULT_BASE_URL] * 2 + ["https://a.example.com"] + [DEFAULT_BASE_URL] * 7
    )
    problems = frame.set_index("account")["problem"].dropna()
    assert problems.index.tolist() == ["open", "odd"]
    assert "chmod 600" in problems["open"]


@pytest.mark.parametrize("fill", [full, lambda place: None])
def test_accounts_dtypes(place: Place, fill: Callable[[Place], None]) -> None:
    """The list of accounts has the same columns and dtypes whether there are accounts or not."""
    fill(place)
    assert {name: str(dtype) for name, dtype in accounts().dtypes.items()} == {
        "account": "str",
        "token_from": "str",
        "base_url": "str",
        "ready": "boolean",
        "read_only": "boolean",
        "problem": "str",
    }


def test_accounts_tell_no_token(place: Place) -> None:
    """Neither the list of accounts nor anything made of it holds a token."""
    full(place)
    frame = accounts()
    for shown in (
        repr(frame),
        frame.to_csv(),
        frame.to_string(),
        frame.to_html(),
        frame.to_json(),
        str(frame.attrs),
    ):
        assert "canary" not in shown


@pytest.mark.parametrize(
    ("toml", "named", "expected"),
    [
        ("", None, "env env env env"),
        ("[accounts.a]", None, "env env env env env"),
        ("[accounts.a]", "a", "env env default env env"),
        ("[accounts.a]\n[accounts.b]", None, "env env default default env env"),
        ('default = "b"\n[accounts.a]\n[accounts.b]', None, "env env default env env env"),
        ('default = "a"\n[accounts.a]\nbase_url = "https://own"\n[accounts.b]', None, "env env own default env env"),
    ],
)  # fmt: skip
def test_accounts_base_url(place: Place, toml: str, named: str | None, expected: str) -> None:
    """The list shows where a token would go: LCNB_BASE_URL is for what is used unasked, not for what is named."""
    place.toml(toml)
    place.env("LCNB_BASE_URL", "https://env")
    if named:
        place.env("LCNB_ACCOUNT", named)
    told = {"env": "https://env", "own": "https://own", "default": DEFAULT_BASE_URL}
    assert accounts()["base_url"].tolist() == [told[word] for word in expected.split()]


def test_no_canary_in_errors(place: Place) -> None:
    """Whichever place the token is in, no error and no repr of a place tells it."""
    full(place)
    for name in (None, "env", "file", "open", "ring", "none", "odd"):
        for each in token_places.iter_token_places(name):
            assert TOKEN not in repr(each)


REAL_FORM = "$2Y$10$CANARY7F3E9A1C5BK4Q8W2Z6M0X3V7T1R5P9N4L8J2H6G0D"
#: lcnb.toml with a token in a wrong place, or in a file that cannot be read.
TOKEN_IN_TOML = {
    "token": f'[accounts.a]\ntoken = "{REAL_FORM}"',
    "token_env": f'[accounts.a]\ntoken_env = "{REAL_FORM}"',
    "token_file": f'[accounts.a]\ntoken_file = "{REAL_FORM}"',
    "keyring": f'[accounts.a]\nkeyring = "{REAL_FORM}"',
    "quoted twice": f"[accounts.a]\ntoken_env = \"'{REAL_FORM}'\"",
    "unknown key": f'[accounts.a]\ntoken_evn = "{REAL_FORM}"',
    "open text": f'[accounts.a]\ntoken_env = "{REAL_FORM}',
    "account twice": f'[accounts.a]\ntoken = "{REAL_FORM}"\n[accounts.a]',
}


def everything(error: BaseException | None) -> str:
    """The texts of an error and of those it came from, with the variables of the frames in lcnb and its libraries."""
    texts = []
    while error is not None:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        texts += [str(error), repr(vars(error)), *map(str, [each.locals for each in list(shown.stack)[1:]])]
        error = error.__context__
    return "".join(texts)


@pytest.mark.parametrize("name", TOKEN_IN_TOML)
def test_token_in_the_wrong_place(place: Place, name: str) -> None:
    """A token that somebody wrote into lcnb.toml is in no message, and in no variable that a traceback prints."""
    place.toml(TOKEN_IN_TOML[name])
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "CANARY" not in everything(caught.value)


@pytest.mark.parametrize("call", [load_settings, token_places.find_token_place, lcnb.connect])
def test_token_instead_of_an_account(place: Place, call: Callable[[str], object]) -> None:
    """`connect(TOKEN)` is refused with the right way, and without the token, which a notebook would keep."""
    with pytest.raises(ConfigError, match=r"connect\(token=\.\.\.\)") as caught:
        call(REAL_FORM)
    assert "CANARY" not in str(caught.value)


def test_input_error_is_no_config_error() -> None:
    """What is wrong in the configuration is told apart from what is wrong in a call."""
    assert not issubclass(ConfigError, InputError)


# --- no home folder -------------------------------------------------------------------------------------


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without a home, as in a container that is started with another user's number."""
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "LCNB_CONFIG_DIR", "LCNB_STATE_DIR", "LCNB_RUNS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "command",
    [
        "inventory", "profile -o json", "journal", "pending", "resume", "accounts", "power off web-03 --yes",
        "run inventory", "run inventory --sandbox", "inventory --sandbox", "batch inventory --over rows.csv",
    ],
)  # fmt: skip
def test_d7_no_home(command: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home folder each command that needs one is refused in one line with the cure, and starts nothing."""
    (tmp_path / "rows.csv").write_text("location\nMIA1\n")
    monkeypatch.setenv("LETSCLOUD_API_KEY", "canary-token-7f3e9a1c5b")
    before = sorted(tmp_path.rglob("*"))
    told = call(*command.split())
    # Without a terminal the refusal is recorded.
    shutil.rmtree(tmp_path / "runs" / "refused", ignore_errors=True)
    if (tmp_path / "runs").exists():
        (tmp_path / "runs").rmdir()
    assert told.code == 2, told.err
    assert told.err.startswith("error: there is no home folder (")
    assert "Cure: export HOME=/a/folder/that/you/may/write" in told.err
    assert told.err.endswith("Nothing was sent.\n") and told.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("nobody")
def test_d7_doctor(call: Call) -> None:
    """`lcnb doctor` names the missing home folder instead of what fails without it."""
    told = call("doctor")
    assert told.code == 1
    assert "FAIL home folder: there is no home folder (" in told.out


@pytest.mark.usefixtures("nobody")
def test_d7_two_folders(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second cure works too: with both folders named, no home is needed to ask the API."""
    monkeypatch.setenv("LCNB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("LCNB_STATE_DIR", str(tmp_path / "state"))
    assert call("instances", "--sandbox", "-o", "csv").code == 0


@pytest.mark.parametrize("value", ["~nobody-of-that-name/x", "~"])
@pytest.mark.parametrize("variable", ["LCNB_STATE_DIR", "LCNB_CONFIG_DIR", "LCNB_RUNS_DIR"])
@pytest.mark.usefixtures("nobody")
def test_d7_tilde(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder below the home of somebody who has none is named with its variable."""
    monkeypatch.setenv(variable, value)
    folder = {"STATE": folders.state_dir, "CONFIG": folders.config_dir, "RUNS": folders.runs_dir}[
        variable[5:-4]
    ]
    with pytest.raises(ConfigError, match=rf"there is no home folder \({variable}={value} needs one\)"):
        folder()


def test_d7_old_platformdirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older platformdirs gives a folder called `~` in the working directory: it is not used."""
    import platformdirs

    monkeypatch.delenv("LCNB_STATE_DIR")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(platformdirs, "user_state_path", lambda *_, **__: Path("~/.local/state/lcnb"))
    with pytest.raises(ConfigError, match="there is no home folder"):
        folders.state_dir()


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a place where nobody can make a folder")
@pytest.mark.parametrize("variable", ["LCNB_STATE_DIR", "XDG_STATE_HOME", "HOME"])
def test_d7_unwritable_state(
    variable: str, served: Callable[..., Any], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be remembered, listings still work; a change is refused before it is sent, with the cure."""
    for name in ("LCNB_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    _, lc = served(fleet=5)
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("LCNB_BASE_URL", lc.settings.base_url)
    running = lc.instances().query("state == 'running'").label.iloc[0]
    monkeypatch.setenv(variable, "/proc/no-such-place")
    assert call("instances", "-o", "csv").code == 0
    told = call("power", "off", running, "--yes")
    assert told.code == 2
    last = told.err.splitlines()[-1]
    assert last.startswith("error: the folder /proc/no-such-place")
    assert last.endswith("Cure: set LCNB_STATE_DIR to a folder that you may write. Nothing was sent.")


@pytest.mark.parametrize(
    ("account", "base_url", "expected"),
    [
        (None, DEFAULT_BASE_URL, "config/facts.csv"),
        (None, "http://127.0.0.1:8765", "state/facts.csv"),
        ("prod", DEFAULT_BASE_URL, "config/facts-prod.csv"),
        ("lab", DEFAULT_BASE_URL, "config/../infra/facts.csv"),
    ],
)
def test_facts_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str | None, base_url: str, expected: str
) -> None:
    """The facts of an account are next to lcnb.toml or where it says; those of a sandbox are in the state folder."""
    monkeypatch.setenv("LCNB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("LCNB_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "config").mkdir()
    (tmp_path / "infra").mkdir()
    text = '[accounts.prod]\ntoken_env = "P"\n[accounts.lab]\nfacts = "../infra/facts.csv"\n'
    (tmp_path / "config" / "lcnb.toml").write_text(text)
    assert config.facts_path(account, base_url) == tmp_path / expected


def test_facts_on_an_absent_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A facts file in a folder that does not exist is no empty one: its protections may be on a disk that is absent."""
    monkeypatch.setenv("LCNB_CONFIG_DIR", str(tmp_path))
    (tmp_path / "lcnb.toml").write_text('[accounts.lab]\nfacts = "/nowhere/facts.csv"\n')
    with pytest.raises(
        ConfigError, match=r"facts: the folder /nowhere does not exist\. Protections .* Nothing was sent"
    ):
        config.facts_path("lab")


@pytest.mark.parametrize(
    ("value", "account", "expected"),
    [
        ("1", None, "LCNB_READ_ONLY"),
        ("0", None, ""),
        ("", "lab", "[accounts.lab]"),
        ("no", "lab", "[accounts.lab]"),
        ("", "prod", ""),
    ],
)
def test_read_only_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, account: str | None, expected: str
) -> None:
    """The variable or the account makes it read-only, and the variable cannot lift what the account says."""
    monkeypatch.setenv("LCNB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("LCNB_READ_ONLY", value)
    (tmp_path / "lcnb.toml").write_text("[accounts.prod]\n[accounts.lab]\nread_only = true\n")
    found = config_file.read_only_reason(account, config_file.read_config())
    assert bool(found) is bool(expected)
    assert expected in found


def test_read_only_variable_is_never_taken_for_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is neither yes nor no is an error."""
    monkeypatch.setenv("LCNB_READ_ONLY", "ture")
    with pytest.raises(ConfigError, match="expected 1 or 0, got 'ture'"):
        config_file.read_only_reason(None, {"accounts": {}})
