"""Who may talk to the page's backend: the page itself, and no other site that the same browser has open.

The backend holds function keys, so a foreign page must neither order anything nor read anything. Loopback
keeps other machines out; this keeps other origins out, DNS rebinding included.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_SAFE_METHODS = frozenset({"GET", "HEAD"})
_OWN_SITE = frozenset({"same-origin", "none"})


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """403 or 415 for what no page of ours sends."""
    refusal = _refusal(request)
    return await handler(request) if refusal is None else refusal


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """A strict policy on every answer, refusals included; an `on_response_prepare` signal."""
    response.headers.update(_HEADERS)


def _refusal(request: web.Request) -> web.Response | None:
    host = request.headers.get("Host", "").lower()
    if host not in _own_hosts(request):
        return web.Response(status=403, text="This page answers only under its own address.")
    if not _is_own_origin(request, host):
        return web.Response(status=403, text="This page answers only to itself.")
    if request.method not in _SAFE_METHODS and request.content_type != "application/json":
        # Any other type can be sent across origins without asking first.
        return web.Response(status=415, text="Send JSON.")
    return None


def _own_hosts(request: web.Request) -> set[str]:
    """The names under which a browser on this machine reaches this socket."""
    port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
    return {f"127.0.0.1:{port}", f"localhost:{port}"}


def _is_own_origin(request: web.Request, host: str) -> bool:
    origin = request.headers.get("Origin")
    if origin is None and request.method not in _SAFE_METHODS:
        return False
    if origin is not None and origin != f"http://{host}":
        return False
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    # Following a link to the start page is harmless, from wherever.
    return site in _OWN_SITE or (request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate")
