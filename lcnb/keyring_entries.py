"""Entries of the system's keyring: store, read back, and delete a secret.

A stored secret is always read back, because some backends accept a secret without an error and do not keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcnb.errors import ConfigError
from lcnb.secret import Secret

if TYPE_CHECKING:
    pass
_KEYRING_CURE = (
    "`keyring --list-backends` lists what can keep secrets here, and a locked keyring must be unlocked first; or keep "
    "them in a file."
)


def store_in_keyring(service: str, user: str, secret: Secret) -> None:
    """Keep a secret in the keyring, and read it back. ConfigError when there is none, or it does not give it back.

    Backends differ: the null backend takes every secret without an error and keeps none, others cut long ones.
    """
    entry = f"{service}/{user}"
    try:
        import keyring

        keyring.set_password(service, user, secret.reveal())
    except ImportError:
        raise ConfigError(
            "there is no keyring here: pip install 'lcnb[keyring]'. Nothing was kept."
        ) from None
    except Exception as odd:
        raise ConfigError(
            f"the keyring did not take {entry}: {type(odd).__name__}. {_KEYRING_CURE}"
        ) from None
    check_in_keyring(service, user, secret)


def check_in_keyring(service: str, user: str, secret: Secret) -> None:
    """ConfigError unless the keyring gives back this secret for this entry."""
    import keyring

    kept = read_from_keyring(service, user)
    if kept != secret:
        what = "nothing" if kept is None else "something else"
        backend = type(keyring.get_keyring())
        raise ConfigError(
            f"the keyring did not keep {service}/{user}: it took the secret without an error, and gives back {what} "
            f"(backend {backend.__module__}.{backend.__qualname__}). {_KEYRING_CURE}"
        )


def read_from_keyring(service: str, user: str) -> Secret | None:
    """An entry of the keyring; None when it is not there. ConfigError when it cannot be read."""
    import keyring

    try:
        kept = keyring.get_password(service, user)
    except Exception as odd:
        raise ConfigError(
            f"the keyring does not give {service}/{user} back: {type(odd).__name__}. {_KEYRING_CURE}"
        ) from None
    return None if kept is None else Secret(str(kept))


def delete_from_keyring(service: str, user: str) -> None:
    """Take an entry out of the keyring, if it is there."""
    import keyring

    try:
        keyring.delete_password(service, user)
    except Exception:  # backends differ in what they raise for an entry that is not there
        return
