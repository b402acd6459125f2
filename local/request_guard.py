"""Rejects requests that another site in the same browser sends to a server on loopback.

A server on loopback cannot be reached from other machines, but any page that a local browser shows can send
requests to it: directly (cross-site requests), or under a name of its own that resolves to 127.0.0.1 (DNS
rebinding). `Host`, `Origin` and `Sec-Fetch-Site` are set by the browser and cannot be changed by a page.
"""

from aiohttp import web

_OWN_SITE = frozenset({"same-origin", "none"})


def is_own_host(request: web.BaseRequest) -> bool:
    """`Host` is an address of this server: 127.0.0.1 or localhost with its port. Stops DNS rebinding."""
    port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
    return request.headers.get("Host", "").lower() in {f"127.0.0.1:{port}", f"localhost:{port}"}


def is_own_origin(request: web.BaseRequest) -> bool:
    """`Origin` is missing, as from programs other than browsers, or this server itself."""
    origin = request.headers.get("Origin")
    return origin is None or origin == f"{request.scheme}://{request.headers.get('Host', '').lower()}"


def is_own_site(request: web.BaseRequest) -> bool:
    """`Sec-Fetch-Site` is missing, or says that no other site caused the request."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") in _OWN_SITE
