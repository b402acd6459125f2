"""Reads a hub's feedback container over HTTP. Its URL holds a signature, which no error and no log shows."""

from collections.abc import Callable, Iterator, Mapping
from typing import Self
from urllib.parse import urlsplit

import requests

from push.hub.feedback import LONGEST_LISTING, Blob, blob_url, listing_url, parse_listing

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
"""Without a byte from the server."""

MOST_PAGES = 20
"""Of a container's list, 5,000 blobs each."""

_PIECE = 65_536


class FeedbackError(Exception):
    """The container cannot be read. The text says why and quotes nothing."""


class FeedbackContainer:
    """The blobs of one container; `with FeedbackContainer(…) as container`.

    Its connections end with it: the network may drop one that is idle until the next sweep.
    """

    def __init__(
        self, url: str, session: requests.Session, monotonic: Callable[[], float], until: float
    ) -> None:
        """Take where the container is and how it is reached.

        Args:
            url: one that may be fetched (`feedback.container_url`).
            session: makes the requests, and is closed at the end; no redirect is followed.
            monotonic: tells seconds and never runs backwards.
            until: monotonic time after which nothing more is read.
        """
        self._url = url
        self._session = session
        self._monotonic = monotonic
        self._until = until

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def blobs(self) -> list[Blob]:
        """All blobs.

        Raises:
            FeedbackError: they cannot be listed.
        """
        found: list[Blob] = []
        marker = ""
        for _ in range(MOST_PAGES):
            body = b"".join(self._get(listing_url(self._url, marker), {}, LONGEST_LISTING))
            try:
                page = parse_listing(body)
            except ValueError as error:
                raise FeedbackError(f"what the container answers {error}") from None
            found += page.blobs
            marker = page.next_marker
            if not marker:
                return found
        raise FeedbackError(f"the container's list has more than {MOST_PAGES} pages")

    def read(self, blob: Blob, offset: int) -> Iterator[bytes]:
        """A blob from an offset to its end, in pieces; it ends early when the time is up.

        Raises:
            FeedbackError: it cannot be read.
        """
        wanted = {"Range": f"bytes={offset}-{blob.length - 1}"}
        return self._get(blob_url(self._url, blob.name), wanted, blob.length - offset, skip=offset)

    def _get(self, url: str, headers: Mapping[str, str], at_most: int, skip: int = 0) -> Iterator[bytes]:
        """The body, at most so many bytes; `skip` leaves bytes out where the server ignores the range."""
        plain = {"Accept-Encoding": "identity", **headers}
        timeouts = (CONNECT_SECONDS, READ_SECONDS)
        try:
            with self._session.get(
                url, headers=plain, timeout=timeouts, allow_redirects=False, stream=True
            ) as answer:
                _check_status(answer.status_code)
                skip = skip if answer.status_code == 200 else 0
                left = at_most
                while left > 0 and self._monotonic() < self._until:
                    # One read of the socket: bytes that come one by one must not outlast the time.
                    piece = answer.raw.read1(_PIECE, decode_content=False)
                    if not piece:
                        return
                    piece, skip = piece[skip:], max(0, skip - len(piece))
                    yield piece[:left]
                    left -= len(piece)
        except FeedbackError:
            raise
        except Exception as error:  # noqa: BLE001 - requests and what is below it raise classes of their own
            # Their texts quote the URL.
            reason = f"{urlsplit(url).hostname} did not answer: {type(error).__name__}"
            raise FeedbackError(reason) from None


def _check_status(status: int) -> None:
    if status not in {200, 206}:
        raise FeedbackError(f"the container answers {status}")
