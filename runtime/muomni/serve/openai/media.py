"""Media inside requests: data URLs and base64, and what may be fetched from elsewhere."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from muomni.serve.errors import ApiError

from .fetch import fetch
from .types import AudioUrlPart, Encoded, ImageUrlPart, InputAudioPart, InputVideoPart, Url, VideoUrlPart

MediaPart = ImageUrlPart | InputAudioPart | AudioUrlPart | VideoUrlPart | InputVideoPart


class MediaReader:
    """The bytes of a request's media, at most so many of them.

    Args:
        most: images, recordings and films together.
        allow_fetch: http and https addresses are fetched, never private ones.
        most_bytes: of one that is fetched.
    """

    def __init__(self, most: int, allow_fetch: bool, most_bytes: int) -> None:
        self._left = self._most = most
        self._fetch: Callable[[str], bytes] | None = (
            (lambda url: fetch(url, most_bytes)) if allow_fetch else None
        )

    def read(self, part: MediaPart) -> bytes:
        """The encoded file of a part; it may take as long as a download.

        Raises:
            ApiError: too many media, no data, or an address that is not fetched.
        """
        self._left -= 1
        if self._left < 0:
            raise ApiError(
                f"too many media: a request may bring {self._most}, earlier turns included",
                code="too_many_media",
            )
        given: Url | Encoded = getattr(part, part.type)
        if isinstance(given, Encoded):
            return decoded(given.data, f"{part.type}.data")
        return self.read_url(given.url, f"{part.type}.url")

    def read_url(self, url: str, param: str) -> bytes:
        """What a URL holds."""
        scheme, _, rest = url.partition(":")
        if scheme.lower() == "data":
            kind, comma, data = rest.partition(",")
            if not comma:
                raise ApiError(
                    f"{param}: expected data:…;base64,…, got no comma", param=param, code="invalid_url"
                )
            if kind.lower().endswith(";base64"):
                return decoded(data, param)
            return unquote_to_bytes(data)
        if scheme.lower() in ("http", "https"):
            if self._fetch is None:
                raise ApiError(
                    f"{param}: this server fetches nothing; send the file as a data URL (data:…;base64,…), or start "
                    "the server with --allow-fetch",
                    param=param,
                    code="fetch_not_allowed",
                )
            return self._fetch(url)
        raise ApiError(
            f"{param}: expected a data, http or https URL, got {url[:40]!r}", param=param, code="invalid_url"
        )


def decoded(data: str, param: str) -> bytes:
    """The bytes of base64.

    Raises:
        ApiError: it is none, or empty.
    """
    try:
        found = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(f"{param}: expected base64 ({error})", param=param, code="invalid_base64") from None
    if not found:
        raise ApiError(f"{param}: expected base64, got nothing", param=param, code="invalid_base64")
    return found
