"""How the API is reached: the environment's variables for proxies and certificates.

| variable | use |
|---|---|
| `HTTPS_PROXY`, then `ALL_PROXY` | the proxy for every call; lower case has priority, an empty value means no proxy |
| `HTTP_PROXY` | not used: the API is reached by HTTPS |
| `NO_PROXY` | hosts that bypass the proxy: names with their subdomains, addresses, networks, ports, `*` |
| `SSL_CERT_FILE`, then `SSL_CERT_DIR` | the certificates to trust, instead of those that come with lcnb |
| `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` | not used; the error for an untrusted certificate names them |

A loopback address always bypasses the proxy. A variable that cannot be used raises a ConfigError of one line, with the
variable, its value without user and password, and the cure.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from lcnb.base_url import is_loopback
from lcnb.errors import ConfigError
from lcnb.flags import NOTHING_SENT
from lcnb.secret import STARS, Secret

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
PROXY_VARIABLES = ("https_proxy", "http_proxy", "all_proxy")
#: Shorter passwords are not masked in messages: they also occur in ordinary words.
MIN_MASKED_LENGTH = 8
#: Variables with which other programs set the certificates to trust.
UNUSED_CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
EXAMPLE_PROXY = "http://proxy.example.com:3128"


@dataclass(frozen=True)
class Proxy:
    """A proxy: its address, its login, and the variable that it came from."""

    variable: str
    scheme: str
    host: str
    port: int
    user: str = ""
    password: Secret = Secret("")  # noqa: RUF009 - a Secret never changes

    @property
    def url(self) -> str:
        """The address, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def auth(self) -> tuple[str, Secret] | None:
        """User and password, or None if the variable has neither."""
        return (self.user, self.password) if self.user or self.password else None

    def __str__(self) -> str:
        return f"the proxy {self.url} of {self.variable}"


def checked_proxy(base_url: str) -> Proxy | None:
    """Return the proxy for the base URL, or None.

    Raises ConfigError if a variable for this base URL cannot be used, including those for certificates.
    """
    if base_url.startswith("https:"):
        _check_key_log()
        environment_tls_context()
    return find_proxy(base_url)


# --- proxies --------------------------------------------------------------------------------------------


def find_proxy(base_url: str) -> Proxy | None:
    """Return the proxy for the base URL, or None; raise ConfigError if the value of its variable is no proxy."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if is_loopback(host) or bypasses_proxy(host, parts.port or DEFAULT_PORTS.get(parts.scheme, 443)):
        return None
    for scheme in (parts.scheme, "all"):
        if found := proxy_setting(scheme):
            return parse_proxy(*found)
    return None


def proxy_setting(scheme: str) -> tuple[str, str] | None:
    """Return the variable for a scheme and its value; without a variable, the setting of macOS or Windows."""
    lower = f"{scheme}_proxy"
    if lower in os.environ:
        return (lower, os.environ[lower].strip()) if os.environ[lower].strip() else None
    for name, value in os.environ.items():
        if name.lower() == lower and value.strip():
            return name, value.strip()
    value = getproxies().get(scheme, "").strip()
    return ("the system's settings", value) if value else None


def parse_proxy(variable: str, value: str) -> Proxy:
    """Return the proxy in the value of a variable; raise a ConfigError with the cure, but without the password."""
    scheme, mark, rest = value.partition("://")
    scheme, rest = (scheme.lower(), rest) if mark else ("http", value)
    if mark and re.fullmatch(r"[a-z0-9+.-]*", scheme) and scheme not in PROXY_SCHEMES:
        known = "socks5h://" if scheme.startswith("socks") else "http://"
        raise _proxy_error(
            variable, value, f"{scheme}:// is not a known scheme (known: {', '.join(PROXY_SCHEMES)})",
            f"write {known} if the proxy understands that",
        )  # fmt: skip
    if not value.isprintable() or any(each in value for each in " \"'\\<>"):
        raise _proxy_error(
            variable, value, "it has a space, a quote or another character that an address cannot contain",
            "write it without quotes, and percent-encode such characters of a password (a space is %20)",
        )  # fmt: skip
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :]:
        raise _proxy_error(
            variable, value, "its user or password has an unencoded #, / or ?",
            "percent-encode them: # is %23, / is %2F, ? is %3F",
        )  # fmt: skip
    login, _, address = authority.rpartition("@")
    host, port = _parse_host_port(variable, value, address)
    user, _, password = login.partition(":")
    if scheme.startswith("socks") and find_spec("socksio") is None:
        raise _proxy_error(
            variable, value, "a SOCKS proxy needs another package", "pip install 'lcnb[socks]'"
        )
    return Proxy(
        variable, scheme, host, port or DEFAULT_PORTS[scheme], unquote(user), Secret(unquote(password))
    )  # fmt: skip


def _parse_host_port(variable: str, value: str, address: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(?:\[([^\]@]+)\]|([^:@\[\]]+))(?::(\d*))?", address)
    if found is None:
        raise _proxy_error(
            variable, value, "it has no host, or its port is not a number",
            f"write it as {EXAMPLE_PROXY}, an IPv6 address in brackets",
        )  # fmt: skip
    host, port = found[1] or found[2], int(found[3]) if found[3] else None
    try:
        if found[1]:
            ipaddress.IPv6Address(host)
        host.encode("idna")
    except ValueError:
        raise _proxy_error(variable, value, "its host is not valid", f"write it as {EXAMPLE_PROXY}") from None
    if port is not None and not 0 < port < 65536:
        raise _proxy_error(variable, value, f"port {port} does not exist", f"write it as {EXAMPLE_PROXY}")
    return host, port


def _proxy_error(variable: str, value: str, problem: str, cure: str) -> ConfigError:
    return ConfigError(
        f"{variable}={mask_login(value)} cannot be used as a proxy: {problem}. Cure: {cure}; or unset the variable. "
        f"{NOTHING_SENT}"
    )


def mask_login(value: str) -> str:
    """Return the address of a proxy without anything that may be a user or a password."""
    scheme, mark, rest = value.partition("://") if "://" in value else ("", "", value)
    if "@" in rest:
        return f"{scheme}{mark}{STARS}@{rest.rpartition('@')[2]}"
    host = re.match(r"\[[^\]]*\]|[^:/?#]*", rest)
    name = host[0] if host else ""
    port = re.match(r":\d*(?=[/?#]|\Z)", rest[len(name) :])
    tail = rest[len(name) + (len(port[0]) if port else 0) :]
    shown = f"{scheme}{mark}{name}{port[0] if port else ''}{STARS if tail else ''}"
    return shown if shown.isprintable() else repr(shown)


# --- NO_PROXY -------------------------------------------------------------------------------------------


def bypasses_proxy(host: str, port: int) -> bool:
    """Whether NO_PROXY names this host."""
    return any(_entry_matches(entry, host.lower().rstrip("."), port) for entry in no_proxy_entries())


def no_proxy_entries() -> list[str]:
    """Return the entries of `no_proxy` if it is set, else of NO_PROXY."""
    found = proxy_setting("no")
    return re.split(r"[,\s]+", found[1]) if found else []


def unreadable_entries() -> list[str]:
    """Return the entries of NO_PROXY that look like an address or a network, but are neither."""
    return [each for each in no_proxy_entries() if each and not _is_readable_entry(each)]


def _is_readable_entry(entry: str) -> bool:
    name, _, _ = _split_entry(entry)
    if "/" in name or ":" in name or "[" in name or re.fullmatch(r"[\d.]+", name):
        return _parse_network(name) is not None
    return "*" not in name.removeprefix("*")


def _split_entry(entry: str) -> tuple[str, str, int | None]:
    """Return the name or network of an entry, its scheme, and its port."""
    scheme, mark, rest = entry.lower().partition("://")
    scheme, name = (scheme, rest.rstrip("/")) if mark else ("", scheme)
    found = re.fullmatch(r"(\[[^\]]*\](?:/\d+)?|[^:]*):(\d+)", name)
    return (found[1], scheme, int(found[2])) if found else (name, scheme, None)


def _parse_network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return an address or network, or None; the address may have the brackets of a URL."""
    try:
        return ipaddress.ip_network(name.replace("[", "", 1).replace("]", "", 1), strict=False)
    except ValueError:
        return None


def _entry_matches(entry: str, host: str, port: int) -> bool:
    name, scheme, only = _split_entry(entry)
    if not name or (only is not None and only != port) or scheme not in ("", "https", "all"):
        return False
    if name == "*":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = name.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    network = _parse_network(name)
    return network is not None and address.version == network.version and address in network


# --- certificates ---------------------------------------------------------------------------------------


def environment_tls_context() -> ssl.SSLContext | None:
    """Return the TLS context for SSL_CERT_FILE or SSL_CERT_DIR; None if neither is set.

    Raises ConfigError if the file or folder cannot be used.
    """
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if value := os.environ.get(variable):
            return _build_tls_context(variable, value)
    return None


@cache
def _build_tls_context(variable: str, value: str) -> ssl.SSLContext:
    """Return the context for a variable; building one costs tens of milliseconds."""
    problem = (_certificate_file_problem if variable == "SSL_CERT_FILE" else _certificate_folder_problem)(
        value
    )
    if problem is None:
        try:
            context = (
                ssl.create_default_context(cafile=value)
                if variable == "SSL_CERT_FILE"
                else ssl.create_default_context(capath=value)
            )
        except (OSError, ValueError):
            problem = "it holds no certificates in PEM form"
        else:
            if variable != "SSL_CERT_FILE" or context.cert_store_stats()["x509"]:
                return context
            problem = "it holds no certificates in PEM form"
    what = "a file of PEM certificates" if variable == "SSL_CERT_FILE" else "a folder of certificates"
    raise ConfigError(
        f"{variable}={value} cannot be used: {problem}. Cure: name {what}, or unset the variable. {NOTHING_SENT}"
    )


def _check_key_log() -> None:
    """Raise ConfigError if SSLKEYLOGFILE cannot be written: Python cannot build a TLS context then."""
    path = os.environ.get("SSLKEYLOGFILE", "")
    try:
        if path:
            Path(path).open("ab").close()
    except (OSError, ValueError):
        raise ConfigError(
            f"SSLKEYLOGFILE={path} cannot be written. Cure: another path, or unset the variable. {NOTHING_SENT}"
        ) from None


def _certificate_file_problem(value: str) -> str | None:
    path = Path(value)
    try:
        if path.is_dir():
            return "it is a folder; use SSL_CERT_DIR for folders"
        text = path.read_bytes()
    except FileNotFoundError:
        return "the file does not exist"
    except (OSError, ValueError) as error:
        return f"it cannot be read ({getattr(error, 'strerror', None) or error})"
    return None if text.strip() else "it is empty"


def _certificate_folder_problem(value: str) -> str | None:
    """Return why none of the folders can be used; None if one can."""
    problems = [_one_folder_problem(each) for each in value.split(os.pathsep)]
    return None if None in problems else problems[0]


def _one_folder_problem(folder: str) -> str | None:
    """Return why a folder cannot be used: OpenSSL finds a certificate by a file name that is a hash of its subject."""
    try:
        if any(re.fullmatch(r"[0-9a-f]{8}\.\d+", file.name) for file in Path(folder).iterdir()):
            return None
    except FileNotFoundError:
        return "the folder does not exist"
    except NotADirectoryError:
        return "it is a file; use SSL_CERT_FILE for files"
    except (OSError, ValueError) as error:
        return f"it cannot be read ({getattr(error, 'strerror', None) or error})"
    return f"no file name in it is the hash of a certificate (openssl rehash {folder} creates such names)"


def proxy_secrets() -> list[Secret]:
    """Return the logins and passwords in the proxy variables, to be masked in messages."""
    found = []
    for name, value in os.environ.items():
        if name.lower() in PROXY_VARIABLES and "@" in value:
            login = value.partition("://")[2].rpartition("@")[0] or value.rpartition("@")[0]
            password = login.partition(":")[2]
            found += [each for each in (login, password, unquote(password)) if len(each) >= MIN_MASKED_LENGTH]
    return [Secret(each) for each in dict.fromkeys(found)]


# --- checks for `lcnb doctor` ---------------------------------------------------------------------------


def network_checks(base_url: str) -> Iterator[tuple[str, bool, str]]:
    """Yield a check for each kind of variable that is set: its name, whether it is usable, how it is used."""
    yield from _check_proxy(base_url)
    if odd := unreadable_entries():
        yield (
            "NO_PROXY",
            False,
            f"not understood: {', '.join(odd)}. Cure: names, addresses or networks, separated by commas",
        )
    yield from _check_certificates(base_url)


def _check_proxy(base_url: str) -> Iterator[tuple[str, bool, str]]:
    variables = sorted(name for name in os.environ if name.lower() in PROXY_VARIABLES)
    try:
        proxy = find_proxy(base_url)
    except ConfigError as error:
        yield "proxy", False, str(error)
        return
    if proxy is None and not variables:
        return
    unused = [name for name in variables if proxy is None or name != proxy.variable]
    used = f"{proxy.url} of {proxy.variable}" if proxy else _describe_no_proxy(base_url)
    yield "proxy", True, used + _describe_unused(unused)


def _describe_no_proxy(base_url: str) -> str:
    host = urlsplit(base_url).hostname or ""
    if is_loopback(host):
        return f"none for {host} (this machine's own address)"
    return f"none for {host} ({'NO_PROXY' if no_proxy_entries() else 'not set'})"


def _check_certificates(base_url: str) -> Iterator[tuple[str, bool, str]]:
    variable = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    unused = [name for name in UNUSED_CERTIFICATE_VARIABLES if os.environ.get(name)]
    if variable is None and not unused:
        return
    if variable and base_url.startswith("https:"):
        try:
            environment_tls_context()
        except ConfigError as error:
            yield "certificates", False, str(error)
            return
    used = f"{os.environ[variable]} of {variable}" if variable else "those that come with lcnb"
    yield "certificates", True, used + _describe_unused(unused)


def _describe_unused(variables: list[str]) -> str:
    return f"; not used: {', '.join(variables)}" if variables else ""


def certificate_advice() -> str:
    """Return the advice for a certificate that is not trusted."""
    unused = next((name for name in UNUSED_CERTIFICATE_VARIABLES if os.environ.get(name)), None)
    if unused and not os.environ.get("SSL_CERT_FILE"):
        return f"{unused} is not used here: set SSL_CERT_FILE to the same file."
    return "If a proxy replaces certificates, set SSL_CERT_FILE to a bundle that contains its certificate."
