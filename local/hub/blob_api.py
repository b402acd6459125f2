"""The feedback container over HTTP, in place of Azure Storage's.

Source: Azure Storage REST, "List Blobs" and "Get Blob". Only these two exist.
"""

import re

from aiohttp import web

from local.hub.config import HubConfig
from local.hub.container_signature import admits, signed_query
from local.hub.feedback import Blob, blobs, listing
from local.hub.simulator import Simulator

BLOBS_PATH = "/simulator-blobs/"
_MOST_ON_A_PAGE = "5000"
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})?")


def container_url(simulator: Simulator, hub: HubConfig, base_url: str) -> str:
    """The URL of a hub's container, with its signature, on the simulator's own address."""
    name = hub.hub_name.lower()
    return f"{base_url}{BLOBS_PATH}{name}?{signed_query(simulator.container_key, name, simulator.now())}"


class BlobApi:
    """Lists and reads the blobs of a container."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def answer(self, request: web.BaseRequest, base_url: str) -> web.Response:
        """`GET container?restype=container&comp=list`, `GET container/blob`; both with the signature."""
        container, _, blob = request.path.removeprefix(BLOBS_PATH).partition("/")
        if not admits(self._simulator.container_key, container, request.query, self._simulator.now()):
            return _error(403, "AuthenticationFailed")
        if request.method not in {"GET", "HEAD"}:
            return _error(405, "UnsupportedHttpVerb")
        found = blobs(self._simulator.reported_failures(container))
        if blob:
            return _read(found[blob], request) if blob in found else _error(404, "BlobNotFound")
        if request.query.get("restype") != "container" or request.query.get("comp") != "list":
            return _error(400, "InvalidQueryParameterValue")
        at_most = request.query.get("maxresults", _MOST_ON_A_PAGE)
        if not re.fullmatch(r"[1-9][0-9]{0,3}", at_most):
            return _error(400, "OutOfRangeQueryParameterValue")
        account, marker = base_url + BLOBS_PATH, request.query.get("marker", "")
        text = listing(account, container, found, marker, int(at_most))
        return web.Response(text=text, content_type="application/xml")


def _read(blob: Blob, request: web.BaseRequest) -> web.Response:
    headers = {"ETag": blob.etag, "Last-Modified": blob.last_modified}
    wanted = _RANGE.fullmatch(request.headers.get("x-ms-range", request.headers.get("Range", "")))
    if wanted is None:
        return web.Response(body=blob.content, headers=headers)
    first = int(wanted[1])
    if first >= len(blob.content):
        return _error(416, "InvalidRange")
    part = blob.content[first : int(wanted[2]) + 1 if wanted[2] else None]
    headers["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{len(blob.content)}"
    return web.Response(status=206, body=part, headers=headers)


def _error(status: int, code: str) -> web.Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return web.Response(status=status, text=body, content_type="application/xml")
