"""Fetch media from public addresses, where the server was told to; never from this machine or its neighbours.

A name is resolved once, its addresses are judged, and the connection goes to one of those: a name that leads
elsewhere a moment later gains nothing. Every redirect is judged anew.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from urllib.parse import urljoin, urlsplit

from muomni.serve.errors import ApiError

TIMEOUT_S = 10.0
WHOLE_TIMEOUT_S = 30.0
TOO_SLOW = f"it took more than {WHOLE_TIMEOUT_S:g} s"
MOST_REDIRECTS = 3
CHUNK = 1 << 16
IPV6_INTERNET, IPV6_6TO4 = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("2002::/16")


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet.

    Example:
        >>> is_public("93.184.216.34"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1")
        (True, False, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    # Of IPv6 only what is given to the internet (RFC 4291), without 6to4, which hides an IPv4 address.
    hides = ip.version == 6 and (ip not in IPV6_INTERNET or ip in IPV6_6TO4)
    return ip.is_global and not ip.is_multicast and not hides


def fetch(url: str, most_bytes: int) -> bytes:
    """The bytes behind an http or https address.

    Raises:
        ApiError: it cannot be had, is private, too long or too slow.
    """
    until = time.monotonic() + WHOLE_TIMEOUT_S
    for _ in range(MOST_REDIRECTS + 1):
        connection, path = _connect(url)
        # A site that sends a byte now and then is stopped from outside: each read would wait for the next.
        stop = threading.Timer(until - time.monotonic(), _shut, [connection.sock])
        stop.start()
        try:
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
            connection.request("GET", path, headers={"accept": "*/*", "user-agent": "muomni"})
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308) and (place := response.getheader("location")):
                url = urljoin(url, place)
                continue
            if response.status != 200:
                raise _error(f"it was answered with status {response.status}")
            return _body(response, most_bytes, until)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() > until:
                raise _error(TOO_SLOW) from error
            raise _error(type(error).__name__) from error
        finally:
            stop.cancel()
            connection.close()
    raise _error(f"more than {MOST_REDIRECTS} redirects")


def _connect(url: str) -> tuple[http.client.HTTPConnection, str]:
    """A connection to a judged address, and the path to ask for."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _error("it is no address") from None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise _error("expected http:// or https:// and a host, without a user")
    port = port or (443 if parts.scheme == "https" else 80)
    try:
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        raise _error("its host is not known") from None
    if not addresses or not all(is_public(address) for address in addresses):
        raise _error("its host is not on the public internet")
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        raw = socket.create_connection((addresses[0], port), TIMEOUT_S)
        secure = parts.scheme == "https"
        connection.sock = (
            ssl.create_default_context().wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
            if secure
            else raw
        )
    except OSError as error:
        raise _error(type(error).__name__) from error
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return connection, path


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        sock.shutdown(socket.SHUT_RDWR)


def _body(response: http.client.HTTPResponse, most_bytes: int, until: float) -> bytes:
    found = bytearray()
    while chunk := response.read(CHUNK):
        found += chunk
        if len(found) > most_bytes:
            raise _error(f"it holds more than {most_bytes} bytes")
    if time.monotonic() > until:  # where it was shut looks like its end
        raise _error(TOO_SLOW)
    if not found:
        raise _error("it holds nothing")
    return bytes(found)


def _error(reason: str) -> ApiError:
    return ApiError(f"the address could not be fetched: {reason}", code="fetch_failed")
