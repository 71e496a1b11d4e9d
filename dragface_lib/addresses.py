"""Which web addresses may be asked: public ones, and the local mirror of tests."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from .errors import DragFaceError

ADDRESS = re.compile(r"https?://(\[[\da-f:.]+\]|[^\s/?#@:\\\[\]%]+)(:\d{1,5})?([/?#]\S*)?", re.IGNORECASE)
WITH_IPV4 = ipaddress.ip_network("::/96"), ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address is their last part
NOT_GLOBAL = ipaddress.ip_network("fec0::/10"), ipaddress.ip_network("64:ff9b:1::/48")  # Python takes them for global


class NetworkError(DragFaceError):
    """An address that may not be asked, or an answer that did not come. status: of the HTTP answer, if any."""

    def __init__(self, text: str, status: int | None = None):
        super().__init__(text)
        self.status = status


def mirror() -> str:
    """The address of the local server that stands for the whole internet, "" when there is none."""
    address = os.environ.get("DRAGFACE_MIRROR", "")
    match = ADDRESS.fullmatch(address)
    if address and not (match and match[3] in (None, "/")):
        raise NetworkError(f"DRAGFACE_MIRROR is {address!r}: give an address such as http://127.0.0.1:8000.")
    return address.removesuffix("/")


def resolve(url: str) -> str:
    """The address that is really asked for `url`: itself, or `{mirror}/{host}{path}` with DRAGFACE_MIRROR."""
    if not mirror() or f"{url}/".startswith(f"{mirror()}/"):
        return url
    parts = urlsplit(url)
    return f"{mirror()}/{parts.hostname}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")


def check_address(url: str) -> str:
    """The host of `url`. Raises NetworkError unless it is http or https and its host may be public.

    What a name stands for is checked on connecting, as that may change until then.
    """
    shown, match, host = url.partition("?")[0], ADDRESS.fullmatch(url), ""
    with suppress(UnicodeError):  # digits and dots of other scripts become ASCII, as in other programs
        host = match[1].strip("[]").encode("idna").decode().rstrip(".").lower() if match else ""
    if not host:
        raise NetworkError(f"{shown[:200]} is not a web address: only http and https are fetched.")
    if mirror() and resolve(url) == url:
        return host
    if host.endswith(("localhost", ".local", ".internal")):
        raise NetworkError(f"{shown} points into a private network: it is not fetched.")
    with suppress(OSError, ValueError):  # a name; but 127.1 and 0x7f000001 are addresses too
        refuse_private(shown, host if ":" in host else socket.inet_ntoa(socket.inet_aton(host)))
    return host


def refuse_private(name: str, address: str) -> None:
    """Raise NetworkError where the IP address that a name stands for is not of the public internet."""
    number = ipaddress.ip_address(address.partition("%")[0])
    number = getattr(number, "ipv4_mapped", None) or getattr(number, "sixtofour", None) or number
    if any(number in network for network in WITH_IPV4):
        number = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    if not number.is_global or number.is_multicast or any(number in network for network in NOT_GLOBAL):
        raise NetworkError(f"{name} points to {number}, an address in a private network: it is not fetched.")
