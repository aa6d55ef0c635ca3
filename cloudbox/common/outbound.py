"""Requests to addresses that tenants name: sent to where the name leads at that moment, if that is no place of this box or its network.

The name is looked up once, every address that it has is judged, and the connection is made to one that was judged: a name that leads
somewhere else a moment later changes nothing. Where a redirect leads is judged like the first address; posts follow none. Proxies of
the environment are not used.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.util import Timeout

from cloudbox.common.errors import Invalid

URL_MAX = 2048
CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
REDIRECTS_MAX = 5
CHUNK_BYTES = 1024**2
_REDIRECTS = (301, 302, 303, 307, 308)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(Exception):
    """The address must not, or cannot, be asked; the sentence is for who named it."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address in its parts. `path` with the query."""

    scheme: str
    host: str
    port: int
    path: str


def parse(url: str) -> Place:
    """Raises Invalid for what is no plain http or https address."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise Invalid("Write a whole address, like https://hooks.example.org/cloudbox.", field="url") from error
    if parts.scheme not in ("http", "https") or not host or len(url) > URL_MAX:
        raise Invalid("Write a whole address, like https://hooks.example.org/cloudbox.", field="url")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Invalid("The address may not hold a user, a password or a fragment.", field="url")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid("Write the address in ASCII, with everything else escaped as %XX.", field="url")
    return Place(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def judge(address: Address, allowed: Sequence[Network]) -> str:
    """Why it must not be asked; empty if it may."""
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inside is not None:
            return judge(inside, allowed)
    if any(address.version == network.version and address in network for network in allowed):
        return ""
    if not address.is_global or address.is_multicast or _in_nat64(address):
        return f"{address} is not on the internet. An administrator can allow a network in box.json: webhook_networks, image_networks."
    return f"{address} is an address of this machine." if _is_own(address) else ""


def _in_nat64(address: Address) -> bool:
    """RFC 6052: such an address stands for one of IPv4, which might be of any network."""
    return address.version == 6 and address in ipaddress.IPv6Network("64:ff9b::/96")


def _is_own(address: Address) -> bool:
    """Only an address that the machine has can be bound."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def resolve(place: Place, allowed: Sequence[Network]) -> str:
    """The address to connect to. Raises Refused; one bad address among several is enough, since a name of good faith has none."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"The name {place.host} is not known.") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for address in addresses:
        if why := judge(address, allowed):
            raise Refused(f"{place.host} must not be asked: {why}")
    return str(addresses[0])


def post(url: str, body: bytes, headers: dict[str, str], allowed: Sequence[Network], *, trust: str = "") -> int:
    """The status of the answer. Raises Refused, with why there is none. `trust`: a file of certificates besides the system's."""
    with _asked("POST", parse(url), body, headers, allowed, trust) as answer:
        return answer.status


@contextmanager
def get(url: str, allowed: Sequence[Network], *, trust: str = "") -> Iterator[tuple[int | None, Iterator[bytes]]]:
    """How long the body says that it is, and the body in pieces. Raises Refused, also for a body that ends too early."""
    for _ in range(REDIRECTS_MAX + 1):
        place = parse(url)
        with _asked("GET", place, None, {"Accept-Encoding": "identity"}, allowed, trust) as answer:
            if answer.status in _REDIRECTS and answer.headers.get("Location"):
                url = urljoin(url, answer.headers["Location"])
                continue
            if answer.status != 200:
                raise Refused(f"{place.host} answered {answer.status} instead of the file.")
            length = answer.headers.get("Content-Length", "")
            yield int(length) if length.isdigit() and len(length) < 19 else None, answer.stream(CHUNK_BYTES)
            return
    raise Refused(f"The address redirects more than {REDIRECTS_MAX} times.")


@contextmanager
def _asked(
    method: str, place: Place, body: bytes | None, headers: dict[str, str], allowed: Sequence[Network], trust: str
) -> Iterator[urllib3.BaseHTTPResponse]:
    """The answer, of which nothing is read yet. What the connection does while it is read counts as the other side's fault, too."""
    address = resolve(place, allowed)
    default = place.port == (443 if place.scheme == "https" else 80)
    shown = f"[{place.host}]" if ":" in place.host else place.host
    headers = headers | {"Host": shown if default else f"{shown}:{place.port}"}
    timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    pool: urllib3.HTTPConnectionPool
    if place.scheme == "https":
        context = ssl.create_default_context()
        if trust:
            context.load_verify_locations(trust)
        pool = urllib3.HTTPSConnectionPool(
            address, place.port, timeout=timeout, ssl_context=context, server_hostname=place.host, assert_hostname=place.host
        )
    else:
        pool = urllib3.HTTPConnectionPool(address, place.port, timeout=timeout)
    try:
        answer = pool.urlopen(
            method, place.path, body=body, headers=headers, retries=False, redirect=False, preload_content=False, decode_content=False
        )
        try:
            yield answer
        finally:
            answer.close()
    except urllib3.exceptions.SSLError as error:
        raise Refused(f"The certificate of {place.host} is not good: {_reason(error)}") from error
    except urllib3.exceptions.ConnectTimeoutError as error:
        raise Refused(f"{place.host} could not be reached within {CONNECT_SECONDS:.0f} seconds.") from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise Refused(f"{place.host} did not answer within {READ_SECONDS:.0f} seconds.") from error
    except urllib3.exceptions.ProtocolError as error:
        raise Refused(f"The connection to {place.host} broke off: {_reason(error)}") from error
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        raise Refused(f"{place.host} could not be reached: {_reason(error)}") from error
    finally:
        pool.close()


def _reason(error: BaseException) -> str:
    """What went wrong, without the objects that urllib3 names."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = getattr(error, "strerror", None) or getattr(error, "verify_message", None) or str(error)
    return str(text).rpartition(">: ")[2][:150] + "."
