"""What may be asked: addresses of the public internet alone, whatever a name or a redirect says, and the mirror.

With DRAGFACE_MIRROR=http://127.0.0.1:PORT every request goes to that server as `/{host}{path}` instead, which
is how the tests work without a network. It is also the only thing that lifts the ban on loopback addresses,
and only for the mirror itself.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import connection, connectionpool

from .errors import DragFaceError

TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address, as a network with IPv6 only writes it


class NetworkError(DragFaceError):
    """An address that may not be asked, or an answer that did not come; the text names the URL without its query.

    status: of the HTTP answer that was refused, None where there was none.
    """

    def __init__(self, text: str, status: int | None = None):
        super().__init__(text)
        self.status = status


class NotFound(NetworkError):
    """No address is known for a host's name."""


def hostname(url: str) -> str:
    """The name of the host of a URL; "" where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def mirror() -> str:
    """The address of the local server that stands for the whole internet, "" when there is none."""
    return os.environ.get("DRAGFACE_MIRROR", "").rstrip("/")


def resolve(url: str) -> str:
    """The address that is really asked for `url`: itself, or `{mirror}/{host}{path}` with DRAGFACE_MIRROR."""
    if not mirror() or _is_mirror(url):
        return url
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{mirror()}/{parts.hostname}{parts.path or '/'}{query}"


def check_address(url: str) -> None:
    """Raise NetworkError unless `url` is http or https and its host has public addresses only.

    Called for every URL and again for every redirect. With DRAGFACE_MIRROR no name is looked up.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is no number raises here
    except ValueError:
        raise NetworkError(f"{url} is not a web address: mend it or remove its row.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise NetworkError(f"{url} is not a web address: only http and https are fetched.")
    if _is_mirror(url):
        return
    if host.rstrip(".").lower().endswith(("localhost", ".local", ".internal")):
        raise NetworkError(f"{url} points into a private network: it is not fetched.")
    with suppress(ValueError):
        _refuse_private(url, str(ipaddress.ip_address(host)))
        return
    if mirror() or requests.utils.get_environ_proxies(url):
        return  # the mirror, or the proxy that this machine must use, looks names up
    try:
        found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotFound(f"{host} could not be found: check the network connection and the address.") from None
    for *_, address in found:
        _refuse_private(url, str(address[0]))


class GuardedAdapter(HTTPAdapter):
    """Looks at the address a connection really has: a name may change its meaning after `check_address`."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As the class above has it, with connections that look."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _GuardedPool, "https": _GuardedTLSPool}


class _PublicPeer(connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        peer = super()._new_conn()
        if not mirror():
            try:
                _refuse_private(f"{self.host}", peer.getpeername()[0])
            except NetworkError:
                peer.close()
                raise
        return peer


class _GuardedTLSConnection(_PublicPeer, connection.HTTPSConnection):
    pass


class _GuardedPool(connectionpool.HTTPConnectionPool):
    ConnectionCls = _PublicPeer


class _GuardedTLSPool(connectionpool.HTTPSConnectionPool):
    ConnectionCls = _GuardedTLSConnection


def _is_mirror(url: str) -> bool:
    return bool(mirror()) and (url == mirror() or url.startswith(mirror() + "/"))


def _refuse_private(url: str, address: str) -> None:
    number = ipaddress.ip_address(address.partition("%")[0])
    number = getattr(number, "ipv4_mapped", None) or getattr(number, "sixtofour", None) or number
    if number in TRANSLATED:
        number = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    if not number.is_global or number.is_multicast:
        raise NetworkError(f"{url} points to {number}, an address in a private network: it is not fetched.")
