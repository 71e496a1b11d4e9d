"""Everything that is fetched from the internet goes through here: politely, bounded, and never to a private address.

    data = fetch("https://example.org/photo.jpg", max_bytes=64_000_000)

`addresses.py` says what may be asked, and how DRAGFACE_MIRROR stands in for the internet.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import requests
from urllib3.exceptions import DecodeError, ProtocolError, ReadTimeoutError

from .addresses import GuardedAdapter, NetworkError, NotFound, check_address, hostname, mirror, resolve
from .files import sha256_of, write_atomically

ATTEMPTS = 4  # the first one and three more
BACKOFF = 0.5  # seconds before the second attempt, doubled each time, when the server names no time itself
LONGEST_WAIT = 60.0  # a server that asks for more than this many seconds is left alone until the next run
TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces of the answer
MAX_JSON = 20_000_000  # bytes of an answer in JSON
LONGEST_TRANSFER = 300.0  # seconds for a whole file, however steadily it drips
MAX_REDIRECTS = 5
UNREACHABLE_AFTER = 3  # files in a row for which a host was silent, after which it is not asked again
ROBOT = "DragFace"  # what robots.txt calls us
OPTED_OUT = ("noai", "noimageai")  # in X-Robots-Tag: not to be trained on
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class _TryAgain(Exception):
    """A failure that may pass. wait: seconds the server asked for. connected: whether a server answered to the end."""

    def __init__(self, reason: str, wait: float | None = None, connected: bool = True, status: int | None = None):
        super().__init__(reason)
        self.wait, self.connected, self.status = wait, connected, status


def fetch(url: str, max_bytes: int) -> bytes:
    """The body at `url`, at most `max_bytes` long; raises NetworkError in one sentence otherwise."""
    return Client().get(url, max_bytes)


def fetch_pinned(url: str, path: str | Path, sha256: str, max_bytes: int) -> Path:
    """Fetch `url` into `path` once: a file that has this SHA-256 already is kept, any other answer refused."""
    path = Path(path)
    if path.is_file() and sha256_of(path) == sha256:
        return path
    write_atomically(path, check_sha256(url, fetch(url, max_bytes), sha256))
    return path


def check_sha256(url: str, data: bytes, sha256: str) -> bytes:
    """Return `data` when its SHA-256 is `sha256`; raise NetworkError otherwise."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise NetworkError(
            f"{url} has other bytes than expected (sha256 {found[:12]}… instead of {sha256[:12]}…): not stored."
        )
    return data


class Client:
    """Fetches files for many threads at once: a few connections a host, reused, with retries and patience.

    Setting `stop` ends every wait and transfer soon, with NetworkError.
    """

    def __init__(self, per_host: int = 4):
        self.stop = threading.Event()
        self._per_host = per_host
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()
        self._robots: dict[str, tuple[threading.Lock, RobotFileParser]] = {}
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": user_agent(), "Accept-Encoding": "identity"})
        self._session.trust_env = not mirror()  # a proxy cannot reach the mirror on this machine
        adapter = GuardedAdapter(pool_maxsize=4 * per_host)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def get(
        self,
        url: str,
        max_bytes: int,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body at `url`, at most `max_bytes` long, following redirects and retrying what may pass.

        query, headers, form: what goes with the request (a form is posted). A redirect leaves them behind, and no
        message repeats them: they may hold keys. Raises NetworkError, one sentence that names the URL.
        """
        host = self._host(hostname(url))
        if host.closed:
            raise NetworkError(host.closed)
        try:
            check_address(url)
        except NotFound as failure:  # where no name is known, each look-up may take ten seconds
            host.unreachable += 1
            host.closed = str(failure) if host.unreachable >= UNREACHABLE_AFTER else ""
            raise
        sent = {"params": query, "headers": headers, "data": form}
        for attempt in range(1, ATTEMPTS + 1):
            with host.slots:
                self._wait(host.not_before - time.monotonic(), url)
                if host.closed:
                    raise NetworkError(host.closed)
                try:
                    data = self._once(url, max_bytes, sent)
                    host.unreachable = 0
                    return data
                except _TryAgain as failure:
                    wait = failure.wait
                    if wait is not None and wait > LONGEST_WAIT:
                        host.closed = f"{host.name} asks to be left alone for {wait:.0f} s: run it again later."
                        raise NetworkError(host.closed) from None
                    if attempt == ATTEMPTS:
                        raise self._give_up(host, url, failure) from None
                    if wait is not None:  # all threads that talk to this host keep the pause
                        host.not_before = max(host.not_before, time.monotonic() + wait)
            self._wait(BACKOFF * 2 ** (attempt - 1) * random.uniform(1.0, 1.5) if wait is None else wait, url)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def get_json(self, url: str, **sent: Mapping[str, str] | None) -> dict:
        """The JSON object at `url`; `sent` as for `get`. Raises NetworkError for any other answer."""
        try:
            answer = json.loads(self.get(url, MAX_JSON, **sent))
        except (ValueError, RecursionError):  # the latter: nested without end
            answer = None
        if not isinstance(answer, dict):
            raise NetworkError(f"{url} answered with something else than JSON: run it again later.")
        return answer

    def may_fetch(self, url: str) -> bool:
        """Whether the robots.txt of the URL's host lets us fetch it; asked once a host. None there allows everything,
        one that cannot be had (5xx, silence) forbids everything, as RFC 9309 says.
        """
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.netloc}/robots.txt"
        with self._lock:
            lock, rules = self._robots.setdefault(place, (threading.Lock(), RobotFileParser(place)))
        with lock:
            if not rules.mtime():
                rules.modified()
                try:
                    rules.parse(self.get(place, MAX_JSON).decode("utf-8", "replace").splitlines())
                except NetworkError as error:
                    free = error.status is not None and 400 <= error.status < 500
                    rules.parse(["User-agent: *", "Allow: /" if free else "Disallow: /"])
        return rules.can_fetch(ROBOT, url)

    def _give_up(self, host: _Host, url: str, failure: _TryAgain) -> NetworkError:
        host.unreachable = 0 if failure.connected else host.unreachable + 1
        if host.unreachable >= UNREACHABLE_AFTER:
            host.closed = f"{host.name} cannot be reached or falls silent: check the network and run it again later."
        return NetworkError(f"{url} {failure}: run it again later.", failure.status)

    def _once(self, url: str, max_bytes: int, sent: dict[str, Any]) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            check_address(url)
            try:
                method = "POST" if sent.get("data") else "GET"
                options: dict[str, Any] = {"stream": True, "allow_redirects": False, "timeout": TIMEOUT} | sent
                with self._session.request(method, resolve(url), **options) as response:
                    if not response.is_redirect:
                        return self._body(url, response, max_bytes)
                    url, sent = urljoin(url, response.headers["location"]), {}
            except requests.exceptions.SSLError as error:
                raise NetworkError(f"{url} has no valid certificate ({_shortly(error)}): it is not fetched.") from error
            except requests.exceptions.ConnectTimeout:
                raise _TryAgain(f"did not answer within {TIMEOUT[0]:.0f} s", connected=False) from None
            except requests.exceptions.Timeout:
                raise _TryAgain(f"stopped answering for {TIMEOUT[1]:.0f} s", connected=False) from None
            except requests.exceptions.ChunkedEncodingError:
                raise _TryAgain("was cut off before its end") from None
            except requests.exceptions.ConnectionError as error:
                if "timed out" in str(error).lower():
                    raise _TryAgain(f"stopped answering for {TIMEOUT[1]:.0f} s", connected=False) from None
                raise _TryAgain(f"could not be reached ({_shortly(error)})", connected=False) from None
            except (requests.exceptions.RequestException, UnicodeError, ValueError) as error:
                raise NetworkError(f"{url} cannot be fetched ({_shortly(error)}): mend its address.") from error
        raise NetworkError(f"{url} is redirected more than {MAX_REDIRECTS} times: it is not fetched.")

    def _body(self, url: str, response: requests.Response, max_bytes: int) -> bytes:
        status = response.status_code
        if status in TRY_AGAIN:
            raise _TryAgain(f"answered {status} {response.reason}", _retry_after(response), status=status)
        if status in (404, 410):
            raise NetworkError(f"{url} no longer exists ({status}): look for the photo at its page.", status)
        if status != 200:
            raise NetworkError(f"{url} answered {status} {response.reason}: it cannot be fetched as it is.", status)
        if any(word in response.headers.get("X-Robots-Tag", "").lower() for word in OPTED_OUT):
            raise NetworkError(f"{url} is not to be trained on (its server says {OPTED_OUT[0]}): it is left there.")
        announced = int(response.headers.get("Content-Length", "") or 0)
        too_large = NetworkError(f"{url} is larger than the {max_bytes / 1e6:.0f} MB allowed: it is not fetched.")
        if announced > max_bytes:
            raise too_large
        end = time.monotonic() + LONGEST_TRANSFER
        pieces, size = [], 0
        for piece in _pieces(response):
            pieces.append(piece)
            size += len(piece)
            if size > max_bytes:
                raise too_large
            if self.stop.is_set():
                raise NetworkError(f"{url} was left: the download was stopped.")
            if time.monotonic() > end:
                raise NetworkError(f"{url} took more than {LONGEST_TRANSFER:.0f} s: run it again later.")
        if announced and size < announced and "Content-Encoding" not in response.headers:
            raise _TryAgain(f"was cut off after {size} of {announced} bytes")
        return b"".join(pieces)

    def _wait(self, seconds: float, url: str) -> None:
        if self.stop.wait(max(0.0, seconds)):
            raise NetworkError(f"{url} was left: the download was stopped.")

    def _host(self, name: str) -> _Host:
        with self._lock:
            return self._hosts.setdefault(name, _Host(name, self._per_host))


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives: whoever counts bytes and seconds is asked after each packet, however small."""
    try:
        while piece := response.raw.read1(1 << 16, decode_content=True):
            yield piece
    except ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    except DecodeError as error:
        raise requests.exceptions.ContentDecodingError(error) from error


class _Host:
    """What is known about one host: its free slots, until when it wants to rest, why it is no longer asked."""

    def __init__(self, name: str, slots: int):
        self.name = name
        self.slots = threading.BoundedSemaphore(slots)
        self.not_before = 0.0
        self.unreachable = 0
        self.closed = ""


@lru_cache(maxsize=1)
def user_agent() -> str:
    """Names this tool and where to complain: the repository's address as pyproject.toml states it."""
    address = ""
    project = Path(__file__).parents[1] / "pyproject.toml"
    if project.is_file():
        found = re.search(
            r'(?im)^\s*"?(?:repository|homepage|source)"?\s*=\s*"(http[^"]+)"', project.read_text("utf-8")
        )
        address = found[1] if found else ""
    else:
        with suppress(metadata.PackageNotFoundError):
            urls = metadata.metadata("dragface-lib").get_all("Project-URL") or []
            address = next((url.partition(",")[2].strip() for url in urls), "")
    return f"DragFace/1.0 (+{address}; paints drag make-up on licensed photos) python-requests/{requests.__version__}"


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the server asks to wait, given as a number or as a date; None when it says nothing."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _shortly(error: Exception) -> str:
    """The innermost reason of one of requests' nested errors, on one line."""
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return re.sub(r"^.*(?:Error|object).*?: ", "", " ".join(str(reason).split()))[:120] or type(error).__name__
