"""Entries of the system's keyring: read, store and delete a secret.

This is the only module that imports `keyring`. A stored secret is always read back, because some backends accept a
secret without an error and do not keep it.
"""

from __future__ import annotations

from lcnb.errors import ConfigError
from lcnb.secret import Secret

INSTALL_COMMAND = "pip install 'lcnb[keyring]'"
_KEYRING_CURE = (
    "`keyring --list-backends` lists the backends of this machine. Unlock the keyring if it is locked, or keep the "
    "secrets in a file."
)


def read_keyring_password(service: str, user: str) -> str | None:
    """Return the text of an entry; None when the keyring has no such entry.

    Raises ImportError when the package is not installed, and whatever the backend raises when it cannot be read.
    """
    import keyring

    return keyring.get_password(service, user)


def store_in_keyring(service: str, user: str, secret: Secret) -> None:
    """Store a secret in the keyring and read it back.

    Raises ConfigError when there is no keyring, or when it does not return the secret. The null backend, for example,
    accepts every secret and keeps none; others cut long secrets.
    """
    try:
        import keyring

        keyring.set_password(service, user, secret.reveal())
    except ImportError:
        raise ConfigError(
            "the keyring package is not installed", cure=INSTALL_COMMAND, not_done="stored"
        ) from None
    except Exception as error:
        raise ConfigError(
            f"the keyring did not accept the entry {service}/{user}: {type(error).__name__}",
            cure=_KEYRING_CURE,
            not_done="stored",
        ) from None
    check_in_keyring(service, user, secret)


def check_in_keyring(service: str, user: str, secret: Secret) -> None:
    """Raise ConfigError unless the keyring returns this secret for this entry."""
    import keyring

    stored = read_from_keyring(service, user)
    if stored != secret:
        returned = "nothing" if stored is None else "a different text"
        backend = type(keyring.get_keyring())
        raise ConfigError(
            f"the keyring did not store {service}/{user}: it accepted the secret without an error, but returns "
            f"{returned} (backend {backend.__module__}.{backend.__qualname__})",
            cure=_KEYRING_CURE,
        )


def read_from_keyring(service: str, user: str) -> Secret | None:
    """Return the secret of an entry; None when the keyring has no such entry. ConfigError when it cannot be read."""
    try:
        stored = read_keyring_password(service, user)
    except Exception as error:
        raise ConfigError(
            f"the keyring entry {service}/{user} cannot be read: {type(error).__name__}", cure=_KEYRING_CURE
        ) from None
    return None if stored is None else Secret(str(stored))


def delete_from_keyring(service: str, user: str) -> None:
    """Delete an entry of the keyring, if it exists."""
    import keyring

    try:
        keyring.delete_password(service, user)
    except Exception:  # for an entry that does not exist, each backend raises an error of a different class
        return
