"""Every download goes through here: bounded, patient, and never to a private address.

    photo = Client().get("https://example.org/photo.jpg", max_bytes=64_000_000)

With DRAGFACE_MIRROR=http://127.0.0.1:PORT every request goes to that server as `/{host}{path}` instead, as in tests.
Nothing else lifts the ban on loopback addresses.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3 import connection, connectionpool
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from .addresses import NetworkError, check_address, mirror, refuse_private, resolve
from .files import sha256_of, write_atomically

# Names the tool and an address for complaints, as Wikimedia asks.
USER_AGENT = "DragFace/1.0 (+https://github.com/OWNER/DragFace; paints drag make-up on licensed photos)"
RETRIES = 3
BACKOFF = 0.5  # seconds, doubled with each retry, where the server names no time itself
LONGEST_WAIT = 60.0  # a server that asks for more seconds is left alone until the next run
TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two packets
LONGEST_REQUEST = 300.0  # seconds for the headers of an answer, and for its body
MAX_JSON = 20_000_000  # bytes of an answer in JSON
MAX_REDIRECTS = 5
CONNECTIONS = 4  # to each host at a time
UNREACHABLE_AFTER = 3  # failures in a row, after which a host is no longer asked
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


def fetch_pinned(url: str, path: str | Path, sha256: str, max_bytes: int) -> Path:
    """Fetch `url` into `path` once: a file that has this SHA-256 already is kept, any other answer refused."""
    path = Path(path)
    if not path.is_file() or sha256_of(path) != sha256:
        data = Client().get(url, max_bytes)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise NetworkError(f"{url} has other bytes than expected (sha256 {sha256[:12]}…): it is not stored.")
        write_atomically(path, data)
    return path


class _PublicPeer(connection.HTTPConnection):
    """Refuses a private peer before a byte is sent, and lets its client hang up."""

    client: Client

    def _new_conn(self) -> socket.socket:
        peer = super()._new_conn()
        try:
            if not mirror():
                refuse_private(self.host, peer.getpeername()[0])
        except NetworkError:
            peer.close()
            raise
        return peer

    def getresponse(self) -> Any:
        """As the class above has it."""
        self.client.answering(self.host, self.sock)
        return super().getresponse()


class _Adapter(HTTPAdapter):
    """Connects to public peers only."""

    def __init__(self, client: Client):
        self._client = {"client": client}
        super().__init__(pool_maxsize=CONNECTIONS, pool_block=True)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As the class above has it."""
        super().init_poolmanager(*arguments, **options)
        peer = type("_Peer", (_PublicPeer,), self._client)
        tls_peer = type("_TLSPeer", (_PublicPeer, connection.HTTPSConnection), self._client)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("_Pool", (connectionpool.HTTPConnectionPool,), {"ConnectionCls": peer}),
            "https": type("_TLSPool", (connectionpool.HTTPSConnectionPool,), {"ConnectionCls": tls_peer}),
        }


class Client:
    """Fetches files for many threads, reusing connections. A request takes at most LONGEST_REQUEST seconds."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._peers: dict[int, socket.socket] = {}  # by thread
        self._late: set[int] = set()  # threads whose time is over
        self._failures: Counter[str] = Counter()  # by host, in a row
        self._session = requests.Session()
        self._session.trust_env = not mirror()  # a proxy cannot reach the mirror on this machine
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self))

    def stop(self) -> None:
        """End all waits and transfers, also those of other threads."""
        self._stopped.set()
        for thread in list(self._peers):
            self._hang_up(thread)

    def answering(self, name: str, peer: socket.socket) -> None:
        """Note the peer that answers this thread; raises NetworkError once its time is over."""
        thread = threading.get_ident()
        self._peers[thread] = peer
        self._check_time(name)

    def _hang_up(self, thread: int) -> None:
        self._late.add(thread)
        with suppress(KeyError, OSError):
            self._peers[thread].shutdown(socket.SHUT_RDWR)

    def _check_time(self, name: str) -> None:
        if self._stopped.is_set() or threading.get_ident() in self._late:
            raise NetworkError(f"{name} was stopped, or took more than {LONGEST_REQUEST:g} s: run it again later.")

    def get(self, url: str, max_bytes: int, **sent: Any) -> bytes:
        """The body at `url`, at most `max_bytes` long, following redirects and retrying what may pass.

        sent: `params`, `headers` or a posted form as `data`. A redirect leaves them behind, and no message repeats
        them: they may hold keys. Raises NetworkError, one sentence that names the URL.
        """
        thread = threading.get_ident()
        timer = threading.Timer(LONGEST_REQUEST, self._hang_up, [thread])
        timer.start()
        try:
            for _ in range(MAX_REDIRECTS + 1):
                body, location = self._get(url, max_bytes, sent)
                if not location:
                    return body
                url, sent = urljoin(url, location), {}
        finally:
            timer.cancel()
            self._peers.pop(thread, None)
            self._late.discard(thread)
        raise NetworkError(f"{url} is redirected more than {MAX_REDIRECTS} times: it is not fetched.")

    def _get(self, url: str, max_bytes: int, sent: dict[str, Any]) -> tuple[bytes, str]:
        """The body at `url`, or the address of a redirect."""
        host = check_address(url)
        if self._failures[host] >= UNREACHABLE_AFTER:
            raise NetworkError(f"{host} does not answer or asks for a pause: run it again later.")
        try:
            with self._ask(url, sent) as response:
                if response.is_redirect:
                    return b"", response.headers["location"]
                body = self._body(url, response, max_bytes)
            self._check_time(url)  # after hanging up, half a body may look whole
            self._failures[host] = 0
            return body, ""
        except NetworkError as error:
            self._failures[host] += UNREACHABLE_AFTER if error.status == 429 else 0
            raise
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            self._check_time(url)
            self._failures[host] += 1
            raise NetworkError(f"{url} could not be fetched ({_reason(error)}): run it again later.") from None

    def get_json(self, url: str, **sent: Any) -> dict:
        """The JSON object at `url`; `sent` as for `get`. Raises NetworkError for any other answer."""
        try:
            answer = json.loads(self.get(url, MAX_JSON, **sent))
        except (ValueError, RecursionError):  # the latter: nested without end
            answer = None
        if not isinstance(answer, dict):
            raise NetworkError(f"{url} did not answer with a JSON object: run it again later.")
        return answer

    def _ask(self, url: str, sent: dict[str, Any]) -> requests.Response:
        """The answer to a request, which is repeated after a pause while that may help."""
        method, attempt = "POST" if "data" in sent else "GET", 0
        while True:
            pause = BACKOFF * 2**attempt
            try:
                response = self._session.request(
                    method, resolve(url), stream=True, allow_redirects=False, timeout=TIMEOUT, **sent
                )
                asked = Retry().get_retry_after(response.raw) or 0
                if response.status_code not in TRY_AGAIN or attempt == RETRIES or asked > LONGEST_WAIT:
                    return response
                response.close()  # without its body, which may be endless
                pause = asked or pause
            except requests.ConnectionError:
                if attempt == RETRIES:
                    raise
            self._stopped.wait(pause)
            self._check_time(url)
            attempt += 1

    def _body(self, url: str, response: requests.Response, max_bytes: int) -> bytes:
        headers, status = response.headers, response.status_code
        if status != 200:
            raise NetworkError(f"{url} answered {status} {response.reason}: run it again later.", status)
        if "noai" in (tags := headers.get("X-Robots-Tag", "").lower()) or "noimageai" in tags:
            raise NetworkError(f"{url} is not to be trained on (X-Robots-Tag: {tags}): it is left there.")
        if headers.get("Content-Encoding", "identity") not in ("identity", "gzip"):  # gzip in gzip fills the memory
            raise NetworkError(f"{url} came in an encoding that nobody asked for: it is not fetched.")
        announced, body = int(headers.get("Content-Length") or 0), bytearray()
        while max(announced, len(body)) <= max_bytes:
            packet = response.raw.read1(1 << 16, decode_content=True)  # as soon as it arrives
            if not packet:
                return bytes(body)
            body += packet
        raise NetworkError(f"{url} is larger than the {max_bytes / 1e6:.0f} MB allowed: it is not fetched.")


def _reason(error: Exception) -> str:
    """The innermost reason of one of requests' nested errors, on one line."""
    while error.args and isinstance(inner := getattr(error, "reason", None) or error.args[0], Exception):
        error = inner
    return " ".join(str(error).rpartition(": ")[2].split())[:120] or type(error).__name__
