"""Media from addresses: only where it is allowed, and never from a private one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from muomni.serve.errors import ApiError
from muomni.serve.openai import fetch
from muomni.serve.openai.media import MediaReader
from muomni.serve.openai.types import ImageUrlPart, Url

PRIVATE = """
127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1 255.255.255.255
::1 :: fe80::1%eth0 fc00::1 ff02::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 2002:7f00:1::1 2001:db8::1
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_addresses_are_known(address: str) -> None:
    assert not fetch.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111"])
def test_public_addresses_are_known(address: str) -> None:
    assert fetch.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/file",
        "http://localhost:{port}/file",
        "http://[::1]:{port}/file",
        "http://2130706433:{port}/file",
        "http://0x7f.1:{port}/file",
        "http://user@127.0.0.1:{port}/file",
        "http://127.0.0.1:99999/file",
        "http:///file",
        "http://\x00/",
        "ftp://127.0.0.1/file",
    ],
)
def test_nothing_private_is_asked(site: Site, url: str) -> None:
    with pytest.raises(ApiError):
        fetch.fetch(url.format(port=site.port), 1000)
    assert site.asked == []


class Site(ThreadingHTTPServer):
    """A site on this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site = self.server
        assert isinstance(site, Site)
        site.asked.append(self.path)
        place = {"/elsewhere": "/file", "/private": f"http://10.0.0.1:{site.port}/file", "/round": "/round"}
        if self.path in place:
            self.send_response(302)
            self.send_header("location", place[self.path])
            self.end_headers()
            return
        if self.path.startswith("/drops"):
            head = b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if self.path == "/drops-of-a-body" else b"")
            with suppress(OSError):  # it is shut from the other side
                for piece in (head, *[b"x"] * 200):
                    self.wfile.write(piece)
                    time.sleep(0.05)
            return
        self.send_response(404 if self.path == "/none" else 200)
        self.end_headers()
        self.wfile.write(b"x" * (5000 if self.path == "/long" else 500))

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.shutdown()
    thread.join()
    site.server_close()


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 counts as public; what else is private stays so."""
    judged = fetch.is_public
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1" or judged(address))


def test_a_file_is_fetched_and_redirects_are_followed(site: Site, public: None) -> None:
    base = f"http://127.0.0.1:{site.port}"
    assert fetch.fetch(f"{base}/file?a=1", 1000) == b"x" * 500
    assert fetch.fetch(f"{base}/elsewhere", 1000) == b"x" * 500
    assert site.asked == ["/file?a=1", "/elsewhere", "/file"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/private", "public internet"), ("/round", "redirects"), ("/none", "404"), ("/long", "more than 1000")],
)
def test_what_cannot_be_fetched_is_said(site: Site, public: None, path: str, reason: str) -> None:
    with pytest.raises(ApiError, match=reason):
        fetch.fetch(f"http://127.0.0.1:{site.port}{path}", 1000)


@pytest.mark.parametrize("path", ["/drops-of-a-body", "/drops-of-a-head"])
def test_a_site_that_sends_drops_is_left(
    site: Site, public: None, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(fetch, "WHOLE_TIMEOUT_S", 0.3)
    start = time.perf_counter()
    with pytest.raises(ApiError, match="it took more than"):
        fetch.fetch(f"http://127.0.0.1:{site.port}{path}", 1000)
    assert time.perf_counter() - start < 3


def test_nothing_is_fetched_unless_that_is_allowed(site: Site, public: None) -> None:
    part = ImageUrlPart(type="image_url", image_url=Url(url=f"http://127.0.0.1:{site.port}/file"))
    with pytest.raises(ApiError, match="fetches nothing"):
        MediaReader(1, allow_fetch=False, most_bytes=1000).read(part)
    assert site.asked == []
    assert MediaReader(1, allow_fetch=True, most_bytes=1000).read(part) == b"x" * 500
