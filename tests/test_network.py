"""Nothing is fetched from private addresses, nothing without bounds, and nothing rudely."""

from __future__ import annotations

import email.utils
import hashlib
import socket
import threading
import time
from contextlib import suppress

import pytest
import requests
from photo_server import Answer, PhotoServer

from dragface_lib import network
from dragface_lib.network import Client, NetworkError, check_address, fetch, fetch_pinned, resolve

URL = "https://files.example.org/a/photo.bin"
PUBLIC = "93.184.215.14"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(network, "BACKOFF", 0.001)


@pytest.fixture
def no_proxy(monkeypatch):
    monkeypatch.setattr(requests.utils, "get_environ_proxies", lambda *_, **__: {})
    monkeypatch.setattr(requests.sessions, "get_environ_proxies", lambda *_, **__: {})


def names(monkeypatch, *answers: str) -> None:
    """Make every name stand for these addresses, one look-up after the other, the last one for ever."""
    left = list(answers)

    def getaddrinfo(host, port, *_, **__):
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_the_mirror_takes_the_place_of_every_host(mirror):
    assert resolve("https://example.org/a.jpg?x=1") == f"{mirror.url}/example.org/a.jpg?x=1"
    assert resolve("https://example.org") == f"{mirror.url}/example.org/"
    assert resolve(f"{mirror.url}/as/it/is") == f"{mirror.url}/as/it/is"


def test_without_a_mirror_an_address_is_itself():
    assert resolve(URL) == URL


@pytest.mark.parametrize(
    "url", ["ftp://example.org/a", "file:///etc/passwd", "example.org", "https://", "http://[x", ""]
)
def test_only_web_addresses_are_fetched(url):
    with pytest.raises(NetworkError, match="is not a web address"):
        check_address(url)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1.2.3:8080", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"]
    + ["[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "224.0.0.1"]
    + ["localhost", "LOCALHOST.", "a.localhost", "printer.local", "metadata.google.internal"],
)
@pytest.mark.parametrize("mirrored", [True, False])
def test_private_addresses_are_refused_with_and_without_a_mirror(host, mirrored, monkeypatch):
    if mirrored:
        monkeypatch.setenv("DRAGFACE_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match="private network"):
        check_address(f"http://{host}/a.jpg")


@pytest.mark.usefixtures("no_proxy")
def test_a_public_name_that_stands_for_a_private_address_is_refused(monkeypatch):
    names(monkeypatch, "10.1.2.3")
    with pytest.raises(NetworkError, match=r"points to 10\.1\.2\.3"):
        check_address(URL)
    names(monkeypatch, PUBLIC)
    check_address(URL)


@pytest.mark.usefixtures("no_proxy")
def test_a_name_that_changes_its_meaning_after_the_check_gets_no_request(monkeypatch, tmp_path):
    inner = PhotoServer([], tmp_path)
    try:
        names(monkeypatch, PUBLIC, PUBLIC, "127.0.0.1")
        with pytest.raises(NetworkError, match=r"points to 127\.0\.0\.1"):
            fetch(f"http://rebinding.example.org:{inner.url.rpartition(':')[2]}/a", 100)
        assert inner.requests == []
    finally:
        inner.close()


@pytest.mark.usefixtures("no_proxy")
def test_a_name_that_nobody_knows_is_one_sentence(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NetworkError, match=r"files\.example\.org could not be found: check the network"):
        fetch(URL, 100)


@pytest.mark.usefixtures("no_proxy")
def test_a_name_that_nobody_knows_is_not_looked_up_for_every_file(monkeypatch):
    asked = []

    def unknown(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = Client()
    for _ in range(10):
        with pytest.raises(NetworkError, match=r"files\.example\.org could not be found: check the network"):
            client.get(URL, 100)
    assert len(asked) == network.UNREACHABLE_AFTER


def test_a_body_that_drips_is_not_waited_for_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(network, "LONGEST_TRANSFER", 0.3)
    over = threading.Event()

    def drip(listener):
        connection = listener.accept()[0]
        with connection, suppress(OSError):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(200):
                connection.sendall(b"x")
                if over.wait(0.05):
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("DRAGFACE_MIRROR", f"http://127.0.0.1:{listener.getsockname()[1]}")
        dripping = threading.Thread(target=drip, args=[listener])
        dripping.start()
        started = time.monotonic()
        with pytest.raises(NetworkError, match="took more than"):
            fetch(URL, 10_000)
        assert time.monotonic() - started < 5  # the whole body would take ten seconds
        over.set()
        dripping.join()


def test_a_fetched_file_is_what_the_server_has_and_the_tool_says_who_it_is(mirror):
    mirror.serve(URL, b"hello")
    assert fetch(URL, 100) == b"hello"
    [(_, headers)] = mirror.requests
    assert headers["User-Agent"].startswith("DragFace/")
    assert "+https://" in headers["User-Agent"]


def test_the_limit_holds_for_announced_and_for_silent_bodies(mirror):
    mirror.serve(URL, b"x" * 101)
    with pytest.raises(NetworkError, match="larger than"):
        fetch(URL, 100)
    mirror.misbehave(URL, Answer(body=b"x" * 101, headers={"Content-Length": "nonsense"}, cut=101))
    with pytest.raises(NetworkError):
        fetch(URL, 100)
    mirror.serve(URL, b"x" * 100)
    assert len(fetch(URL, 100)) == 100


def test_redirects_end_somewhere(mirror):
    mirror.misbehave(URL, Answer(302, headers={"Location": URL}))
    with pytest.raises(NetworkError, match="redirected more than 5 times"):
        fetch(URL, 100)
    assert mirror.asked(URL) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://169.254.169.254/latest", "http://localhost/"])
def test_a_redirect_to_a_private_or_odd_address_is_refused(location, mirror):
    mirror.misbehave(URL, Answer(302, headers={"Location": location}))
    with pytest.raises(NetworkError, match="private network|not a web address"):
        fetch(URL, 100)
    assert len(mirror.requests) == 1


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (410, 1), (403, 1), (500, 4), (429, 4)])
def test_only_what_may_pass_is_asked_again(status, asked, mirror):
    mirror.misbehave(URL, Answer(status))
    with pytest.raises(NetworkError, match=str(status)) as caught:
        fetch(URL, 100)
    assert URL in str(caught.value)
    assert mirror.asked(URL) == asked


def test_retry_after_may_be_a_date(mirror):
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    mirror.misbehave(URL, Answer(503, headers={"Retry-After": date}), times=1)
    mirror.serve(URL, b"hello")
    start = time.monotonic()
    assert fetch(URL, 100) == b"hello"
    assert time.monotonic() - start > 0.5


def test_a_server_that_is_gone_is_not_asked_for_every_file(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DRAGFACE_MIRROR", f"http://127.0.0.1:{free.getsockname()[1]}")
    client = Client()
    for _ in range(network.UNREACHABLE_AFTER):
        with pytest.raises(NetworkError):
            client.get(URL, 100)
    monkeypatch.setattr(client, "_once", lambda *_: pytest.fail("asked again"))
    with pytest.raises(NetworkError, match="cannot be reached or falls silent: check the network"):
        client.get(URL, 100)


def test_a_server_that_falls_silent_is_not_waited_for_with_every_file(mirror, monkeypatch):
    monkeypatch.setattr(network, "TIMEOUT", (1.0, 0.05))
    mirror.misbehave(URL, Answer(body=b"", headers={"Content-Length": "100"}))  # the rest never comes
    client = Client()
    for _ in range(network.UNREACHABLE_AFTER):
        with pytest.raises(NetworkError, match="stopped answering"):
            client.get(URL, 100)
    asked = mirror.asked(URL)
    with pytest.raises(NetworkError, match="falls silent"):
        client.get(URL, 100)
    assert mirror.asked(URL) == asked == network.UNREACHABLE_AFTER * network.ATTEMPTS


def test_a_stopped_client_fetches_nothing_more(mirror):
    mirror.serve(URL, b"hello")
    client = Client()
    client.stop.set()
    with pytest.raises(NetworkError, match="was stopped"):
        client.get(URL, 100)
    assert not mirror.requests


def test_a_pinned_file_is_fetched_once_and_never_with_other_bytes(mirror, tmp_path):
    data, path = b"the detector", tmp_path / "models" / "detector.onnx"
    digest = hashlib.sha256(data).hexdigest()
    mirror.serve(URL, b"something else")
    with pytest.raises(NetworkError, match="has other bytes than expected"):
        fetch_pinned(URL, path, digest, 100)
    assert not path.exists()
    mirror.serve(URL, data)
    for _ in range(2):
        assert fetch_pinned(URL, path, digest, 100) == path
    assert path.read_bytes() == data
    assert mirror.asked(URL) == 2
    path.write_bytes(b"damaged")
    assert fetch_pinned(URL, path, digest, 100).read_bytes() == data


def test_robots_txt_is_asked_once_a_host_and_obeyed(mirror):
    rules = b"User-agent: *\nDisallow: /private/\n\nUser-agent: DragFace\nDisallow: /not-us/\n"
    mirror.serve("https://site.example.org/robots.txt", rules)
    client = Client()
    assert client.may_fetch("https://site.example.org/private/a.jpg")  # the rule for us takes the place of that for all
    assert not client.may_fetch("https://site.example.org/not-us/a.jpg")
    assert client.may_fetch("https://site.example.org/photos/a.jpg")
    assert mirror.asked("https://site.example.org/robots.txt") == 1


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, True), (500, False)])
def test_a_host_without_robots_txt_allows_all_and_one_that_fails_nothing(status, allowed, mirror):
    mirror.misbehave("https://site.example.org/robots.txt", Answer(status))
    assert Client().may_fetch("https://site.example.org/a.jpg") is allowed


@pytest.mark.parametrize("tag", ["noai", "noindex, NoImageAI"])
def test_what_its_server_keeps_out_of_training_is_left_there(tag, mirror):
    mirror.misbehave(URL, Answer(body=b"hello", headers={"X-Robots-Tag": tag}))
    with pytest.raises(NetworkError, match="not to be trained on"):
        fetch(URL, 100)


def test_a_question_keeps_its_query_and_headers_out_of_messages_and_redirects(mirror):
    mirror.reply(URL, lambda query, headers: Answer(302, headers={"Location": "https://other.example.org/x"}))
    mirror.misbehave("https://other.example.org/x", Answer(403))
    with pytest.raises(NetworkError) as caught:
        Client().get(URL, 100, query={"word": "secret-word"}, headers={"X-Key": "secret-key"})
    assert "secret" not in str(caught.value)
    assert caught.value.status == 403
    (first, sent), (second, passed_on) = mirror.requests
    assert "word=secret-word" in first
    assert sent["X-Key"] == "secret-key"
    assert "secret" not in second
    assert "X-Key" not in passed_on
