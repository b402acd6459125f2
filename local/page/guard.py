"""Accepts requests of the page only: its backend has the function keys.

`local.request_guard` says which requests other sites could send.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from local.request_guard import is_own_host, is_own_origin, is_own_site

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        # The only script URL that the page makes is that of its service worker.
        "trusted-types service-worker",
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


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """403 or 415 for a request that the page does not send."""
    refusal = _refusal(request)
    return await handler(request) if refusal is None else refusal


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """A strict policy on every answer, also on refusals; an `on_response_prepare` signal."""
    response.headers.update(_HEADERS)


def _refusal(request: web.Request) -> web.Response | None:
    if not is_own_host(request):
        return web.Response(status=403, text="Host is not the address of this page.")
    if not (is_own_origin(request) and (is_own_site(request) or _is_link(request))):
        return web.Response(status=403, text="The request comes from another site.")
    if request.method in _SAFE_METHODS:
        return None
    if "Origin" not in request.headers:
        return web.Response(status=403, text="The request has no Origin.")
    if request.content_type != "application/json":
        # Other content types can be sent across origins without a preflight request.
        return web.Response(status=415, text="Send JSON.")
    return None


def _is_link(request: web.Request) -> bool:
    """A link on another site to the start page, which is harmless."""
    return request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"
