"""The feedback of the platforms: which device tokens are dead (pure).

A hub answers the URL of a blob container. The blobs hold XML documents `<PnsFeedback>` one after the other,
and each declares UTF-16 whatever its bytes are. Sources: Notification Hubs REST, "Get PNS feedback"; Azure
Storage REST, "List Blobs".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit
from xml.etree.ElementTree import Element, ParseError  # nosec B405 - the parser is defusedxml's

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from models.event import event_time
from models.feedback import Feedback
from models.hub import is_loopback

LONGEST_LISTING = 8_388_608
"""Of one page of a container's list, in bytes."""

LONGEST_DOCUMENT = 131_072
"""Of one `<PnsFeedback>`, in bytes. The longest handle has 4 kB."""

_BLOB_HOST = re.compile(
    r"[a-z0-9-]{1,63}\.blob\.core\.(windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)", re.ASCII
)
_BLOB_NAME = re.compile(r"[!-~]{1,512}")


def container_url(text: str, hub_url: str) -> str:
    """The URL of a feedback container, if it may be fetched.

    The text comes from outside the app: it must name Azure Storage, or this machine where the hub does so.

    Args:
        text: as the hub answers it; it holds a signature, and no error quotes it.
        hub_url: of the hub that answered.

    Raises:
        ValueError: it may not be fetched.
    """
    url = text.strip().strip('"')
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is no URL") from None
    if not url.isascii() or not url.isprintable() or "\\" in url or parts.username is not None:
        raise ValueError("is no plain URL")
    if parts.fragment or not parts.path.strip("/"):
        raise ValueError("names no container")
    if is_loopback(host):
        if not is_loopback(urlsplit(hub_url).hostname or "") or parts.scheme not in {"http", "https"}:
            raise ValueError("names this machine, and the hub does not")
    elif parts.scheme != "https" or port not in {None, 443} or not _BLOB_HOST.fullmatch(host):
        raise ValueError("is not one of Azure Storage")
    return url


def listing_url(container: str, marker: str) -> str:
    """Where a page of the container's list is; `marker` is empty for the first."""
    more = f"&marker={quote(marker, safe='')}" if marker else ""
    return f"{container}{'&' if urlsplit(container).query else '?'}restype=container&comp=list{more}"


def blob_url(container: str, name: str) -> str:
    """Where a blob of the container is."""
    parts = urlsplit(container)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}").geturl()


def secrets_of(container: str) -> tuple[str, ...]:
    """What must not be shown of a container's URL."""
    return tuple(value for _, value in parse_qsl(urlsplit(container).query))


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob of a container."""

    name: str
    length: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a container's list."""

    blobs: tuple[Blob, ...]
    next_marker: str
    """Empty on the last page."""


def parse_listing(body: bytes) -> Listing:
    """Read a page of a container's list.

    Raises:
        ValueError: it is none, or has a DOCTYPE; nothing is quoted.
    """
    root = _parsed(body)
    if root is None or _name(root) != "EnumerationResults":
        raise ValueError("is no list of blobs")
    blobs, marker = [], ""
    for child in root:
        if _name(child) == "NextMarker":
            marker = (child.text or "").strip()
        elif _name(child) == "Blobs":
            blobs += [blob for each in child if (blob := _blob(each))]
    return Listing(tuple(blobs), marker)


def _blob(element: Element) -> Blob | None:
    name = length = ""
    for child in element:
        if _name(child) == "Name":
            name = child.text or ""
        elif _name(child) == "Properties":
            length = next((each.text or "" for each in child if _name(each) == "Content-Length"), "")
    if _name(element) != "Blob" or not _BLOB_NAME.fullmatch(name) or not re.fullmatch("[0-9]{1,15}", length):
        return None
    return Blob(name, int(length))


class FeedbackParser:
    """Reads the documents of one blob, which comes in pieces."""

    def __init__(self) -> None:
        self.consumed = 0
        """Bytes up to the end of the last whole document; reading may go on there."""
        self.unreadable = 0
        """Documents that are not understood, or have a DOCTYPE."""
        self._rest = b""
        self._encoding = ""

    def feed(self, piece: bytes) -> Iterator[Feedback]:
        """The documents that end in `piece`."""
        self._rest += piece
        # Two characters tell the encoding: every document begins in ASCII.
        if not self._encoding and len(self._rest) >= 4:
            self._encoding = _encoding_of(self._rest)
        while self._encoding and (document := self._take()) is not None:
            feedback = _feedback(document.decode(self._encoding, "replace"))
            if feedback is None:
                self.unreadable += 1
            else:
                yield feedback

    def _take(self) -> bytes | None:
        """Cut the next document off, with what stands before it."""
        end_tag = "</PnsFeedback>".encode(self._encoding)
        width = len("<".encode(self._encoding))
        end = self._rest.find(end_tag)
        while end >= 0 and end % width:
            end = self._rest.find(end_tag, end + 1)
        if end < 0:
            self._drop_overlong()
            return None
        document = self._cut(end + len(end_tag))
        return document if len(document) <= LONGEST_DOCUMENT else b""

    def _drop_overlong(self) -> None:
        """Do not keep, or read again, what can be no document."""
        if len(self._rest) > LONGEST_DOCUMENT:
            self.unreadable += 1
            # An even number, which a character of UTF-16 takes; an end tag may be cut in two here.
            self._cut(len(self._rest) - 64 & ~1)

    def _cut(self, length: int) -> bytes:
        cut, self._rest = self._rest[:length], self._rest[length:]
        self.consumed += length
        return cut


def _encoding_of(begin: bytes) -> str:
    if begin.startswith(b"\xff\xfe") or begin[1] == 0:
        return "utf-16-le"
    if begin.startswith(b"\xfe\xff") or begin[0] == 0:
        return "utf-16-be"
    return "utf-8"


def _feedback(text: str) -> Feedback | None:
    # The last one: what stands before it is the declaration, or a document that was cut off.
    before, begin, rest = text.rpartition("<PnsFeedback")
    if not begin or "<!doctype" in before.lower():
        return None
    root = _parsed(begin + rest)
    if root is None or _name(root) != "PnsFeedback":
        return None
    values = {_name(child): (child.text or "").strip() for child in root}
    at, error, handle = (
        values.get(name, "") for name in ("FeedbackTime", "NotificationSystemError", "PnsHandle")
    )
    moment = event_time(at)
    return Feedback(moment, error[:64], handle) if moment and error and handle else None


def _parsed(document: bytes | str) -> Element | None:
    try:
        root: Element = fromstring(document, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    return root


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
