"""Nothing is fetched from private addresses, nothing without bounds, and nothing rudely."""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import socket
import threading
import time

import pytest
import requests
from photo_server import Answer, PhotoServer, dripping

from dragface_lib import network
from dragface_lib.addresses import NetworkError, check_address, resolve
from dragface_lib.network import Client, fetch_pinned

URL = "https://files.example.org/a/photo.bin"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(network, "BACKOFF", 0.001)


@pytest.fixture
def no_proxy(monkeypatch):
    monkeypatch.setattr(requests.sessions, "get_environ_proxies", lambda *_, **__: {})


def fetch(url: str = URL, max_bytes: int = 10_000, **sent) -> bytes:
    return Client().get(url, max_bytes, **sent)


def test_the_mirror_takes_the_place_of_every_host_and_nothing_else_does(mirror, monkeypatch):
    assert resolve("https://example.org/a.jpg?x=1") == f"{mirror.url}/example.org/a.jpg?x=1"
    assert resolve("https://example.org") == f"{mirror.url}/example.org/"
    assert resolve(f"{mirror.url}/as/it/is") == f"{mirror.url}/as/it/is"
    monkeypatch.delenv("DRAGFACE_MIRROR")
    assert resolve(URL) == URL


@pytest.mark.parametrize("value", ["http:", "/", "http://", "http://:80", "http://a@b", "http://a/b", "127.0.0.1:80"])
def test_only_a_web_address_with_a_host_is_a_mirror(value, monkeypatch):
    monkeypatch.setenv("DRAGFACE_MIRROR", value)
    with pytest.raises(NetworkError, match="DRAGFACE_MIRROR is '.*: give an address such as"):
        check_address("http://127.0.0.1/")


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/a", "file:///etc/passwd", "example.org", "https://", "http://[x", "", "http://me@example.org/"]
    + ["http://127.0.0.1\\@example.org/", "http://exa mple.org", "http://example.org:port/"]
    + ["http://%31%32%37.0.0.1/", "http://a..b/"],
)
def test_only_web_addresses_that_all_programs_read_alike_are_fetched(url):
    with pytest.raises(NetworkError, match="is not a web address"):
        check_address(url)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1.2.3:8080", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"]
    + ["[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "224.0.0.1"]
    + ["[fec0::1]", "[64:ff9b:1::1]", "[::7f00:1]", "127.1", "0x7f000001", "2130706433", "127.0.0.1."]
    + ["\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021"]
    + ["localhost", "LOCALHOST.", "a.localhost", "printer.local", "metadata.google.internal"],
)
@pytest.mark.parametrize("mirrored", [True, False])
def test_private_addresses_are_refused_with_and_without_a_mirror(host, mirrored, monkeypatch):
    if mirrored:
        monkeypatch.setenv("DRAGFACE_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match="private network"):
        check_address(f"http://{host}/a.jpg")


@pytest.mark.usefixtures("no_proxy")
def test_a_public_name_that_stands_for_a_private_address_gets_no_request(monkeypatch, tmp_path):
    """Whatever the name stood for before: the peer of the connection counts."""
    inner = PhotoServer([], tmp_path)
    port = int(inner.url.rpartition(":")[2])
    here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: here)
    try:
        for scheme in ("http", "https"):
            with pytest.raises(NetworkError, match=r"rebinding.example.org points to 127\.0\.0\.1"):
                fetch(f"{scheme}://rebinding.example.org:{port}/a")
        assert inner.requests == []
    finally:
        inner.close()


@pytest.mark.usefixtures("no_proxy")
def test_a_name_that_nobody_knows_is_one_sentence_and_not_looked_up_for_every_file(monkeypatch):
    asked = []

    def unknown(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = Client()
    for _ in range(network.UNREACHABLE_AFTER):
        with pytest.raises(NetworkError, match=r"photo\.bin could not be fetched \(.*: run it again later"):
            client.get(URL, 100)
    count = len(asked)
    with pytest.raises(NetworkError, match="does not answer"):
        client.get(URL, 100)
    assert len(asked) == count == network.UNREACHABLE_AFTER * (network.RETRIES + 1)


def test_a_body_that_drips_is_not_waited_for_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(network, "LONGEST_REQUEST", 0.3)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    with dripping(monkeypatch, head), pytest.raises(NetworkError, match="took more than"):
        fetch()


def test_headers_that_drip_are_not_waited_for_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(network, "LONGEST_REQUEST", 0.2)
    head = b"HTTP/1.1 200 OK\r\nX-Drip: "
    with dripping(monkeypatch, head), pytest.raises(NetworkError, match="took more than"):
        fetch()


def test_packed_data_that_drips_without_a_byte_of_content_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(network, "LONGEST_REQUEST", 0.3)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08" + bytes(6)  # a name without end
    with dripping(monkeypatch, head), pytest.raises(NetworkError, match="took more than"):
        fetch()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-Drip: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_stopping_ends_a_transfer_of_another_thread_at_once(head, monkeypatch):
    client, reasons = Client(), []

    def ask() -> None:
        try:
            client.get(URL, 10_000)
        except NetworkError as error:
            reasons.append(str(error))

    with dripping(monkeypatch, head):
        thread = threading.Thread(target=ask)
        thread.start()
        while not client._peers:
            time.sleep(0.01)
        client.stop()
        thread.join(5)
    assert ["was stopped" in reason for reason in reasons] == [True]


def test_the_body_of_an_error_is_not_waited_for(monkeypatch):
    head = b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\n"
    with dripping(monkeypatch, head), pytest.raises(NetworkError, match="answered 503"):
        fetch()


def test_a_fetched_file_is_what_the_server_has_and_the_tool_says_who_it_is(mirror):
    mirror.serve(URL, b"hello")
    assert fetch() == b"hello"
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


def test_an_answer_cut_short_is_an_error(mirror):
    mirror.misbehave(URL, Answer(body=b"x" * 1000, cut=500))
    with pytest.raises(NetworkError, match="could not be fetched .*run it again later"):
        fetch()


def test_packed_answers_count_unpacked_and_are_packed_once_at_most(mirror):
    once = gzip.compress(b"x" * 1_000_000)
    mirror.misbehave(URL, Answer(body=once, headers={"Content-Encoding": "gzip"}))
    assert len(fetch(URL, 1_000_000)) == 1_000_000
    with pytest.raises(NetworkError, match="larger than"):
        fetch(URL, 999_999)
    mirror.misbehave(URL, Answer(body=gzip.compress(once), headers={"Content-Encoding": "gzip, gzip"}))
    with pytest.raises(NetworkError, match="encoding that nobody asked for"):
        fetch(URL, 2_000_000)


def test_redirects_are_followed_and_end_somewhere(mirror):
    mirror.misbehave(URL, Answer(301, headers={"Location": "https://moved.example.org/a"}))
    mirror.misbehave("https://moved.example.org/a", Answer(302, headers={"Location": "/b"}))
    mirror.serve("https://moved.example.org/b", b"hello")
    assert fetch() == b"hello"
    mirror.misbehave(URL, Answer(302, headers={"Location": URL}))
    with pytest.raises(NetworkError, match="redirected more than 5 times"):
        fetch()


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://169.254.169.254/latest", "http://localhost/"])
def test_a_redirect_to_a_private_or_odd_address_is_refused(location, mirror):
    mirror.misbehave(URL, Answer(302, headers={"Location": location}))
    with pytest.raises(NetworkError, match="private network|not a web address"):
        fetch()
    assert len(mirror.requests) == 1


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (410, 1), (403, 1), (500, 4), (429, 4)])
def test_only_what_may_pass_is_asked_again(status, asked, mirror):
    mirror.misbehave(URL, Answer(status))
    with pytest.raises(NetworkError, match=str(status)) as caught:
        fetch()
    assert URL in str(caught.value)
    assert mirror.asked(URL) == asked


@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_waited_for_whether_seconds_or_a_date(dated, mirror):
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    mirror.misbehave(URL, Answer(503, headers={"Retry-After": date if dated else "1"}), times=1)
    mirror.serve(URL, b"hello")
    start = time.monotonic()
    assert fetch() == b"hello"
    assert time.monotonic() - start > 0.5


def test_a_host_that_asks_for_an_hour_is_left_alone_at_once(mirror):
    mirror.misbehave(URL, Answer(429, headers={"Retry-After": "3600"}))
    client = Client()
    for reason in ("answered 429", "asks for a pause"):
        with pytest.raises(NetworkError, match=reason):
            client.get(URL, 100)
    assert mirror.asked(URL) == 1


def test_a_server_that_falls_silent_is_not_waited_for_with_every_file(mirror, monkeypatch):
    monkeypatch.setattr(network, "TIMEOUT", (1.0, 0.05))
    mirror.misbehave(URL, Answer(body=b"", headers={"Content-Length": "100"}))  # the rest never comes
    client = Client()
    for _ in range(network.UNREACHABLE_AFTER):
        with pytest.raises(NetworkError, match="timed out"):
            client.get(URL, 100)
    with pytest.raises(NetworkError, match="does not answer"):
        client.get(URL, 100)
    assert mirror.asked(URL) == network.UNREACHABLE_AFTER


def test_at_most_four_files_at_a_time_are_asked_of_one_host(mirror, monkeypatch):
    running, most, lock = 0, 0, threading.Lock()

    def slow_answer(path, headers):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return Answer(body=b"hello")

    monkeypatch.setattr(mirror, "answer", slow_answer)
    client = Client()
    threads = [threading.Thread(target=client.get, args=(f"{URL}{n}", 100)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 <= most <= 4


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


@pytest.mark.parametrize("tag", ["noai", "noindex, NoImageAI"])
def test_what_its_server_keeps_out_of_training_is_left_there(tag, mirror):
    mirror.misbehave(URL, Answer(body=b"hello", headers={"X-Robots-Tag": tag}))
    with pytest.raises(NetworkError, match="not to be trained on"):
        fetch()


def test_a_question_keeps_its_query_and_headers_out_of_messages_and_redirects(mirror):
    mirror.reply(URL, lambda query, headers: Answer(302, headers={"Location": "https://other.example.org/x"}))
    mirror.misbehave("https://other.example.org/x", Answer(403))
    with pytest.raises(NetworkError) as caught:
        fetch(params={"word": "secret-word"}, headers={"X-Key": "secret-key"})
    assert "secret" not in str(caught.value)
    assert caught.value.status == 403
    (first, sent), (second, passed_on) = mirror.requests
    assert "word=secret-word" in first
    assert sent["X-Key"] == "secret-key"
    assert "secret" not in second
    assert "X-Key" not in passed_on


def test_what_a_server_says_cannot_steer_a_terminal():
    assert str(NetworkError("answered 500 \x1b[2J\nOops")) == "answered 500 [2J Oops"


def test_json_nested_without_end_is_one_sentence(monkeypatch):
    monkeypatch.setattr(Client, "get", lambda self, url, most, **sent: b'{"a":' + b"[" * 200_000)
    with pytest.raises(NetworkError, match="did not answer with a JSON object"):
        Client().get_json("https://a.org/")
