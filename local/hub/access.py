"""What the service refuses because of a request's SAS token (pure).

Sources: Service Bus, "Shared Access Signature authentication"; Notification Hubs, "Security".
"""

import hmac
import re
from functools import lru_cache
from urllib.parse import unquote

from local.hub.check import Check
from local.hub.service_request import NO_RULE, NO_TOKEN, ServiceRequest, signature

_RESOURCE = re.compile(r"(?:https?|sb)://([^/?#]+)(/[^?#]*)?(?:\?[^#]*)?")
"""The SDK for Java signs the whole URL, with its query."""


def _bad_signature(request: ServiceRequest) -> bool:
    expected = signature(request.rule.key, f"{request.token.resource}\n{request.token.expiry}")
    return not hmac.compare_digest(expected.encode(), request.token.signature.encode())


def _other_audience(request: ServiceRequest) -> bool:
    host, claimed = _claimed(request.token.resource)
    # The SDK for .NET drops the port.
    if host not in {request.hub.host, request.hub.host.partition(":")[0]}:
        return True
    return claimed != request.request.segments[: len(claimed)]


@lru_cache(64)
def _claimed(resource: str) -> tuple[str, list[str]]:
    """Host and path of a token's resource, which repeats from push to push; no host if it is malformed."""
    found = _RESOURCE.fullmatch(unquote(resource))
    if found is None:
        return "", []
    path = (found[2] or "").strip("/")
    return found[1], path.split("/") if path else []


AUTHENTICATION: tuple[Check[ServiceRequest], ...] = (
    Check(401, "the Authorization header is missing", lambda it: "authorization" not in it.headers),
    Check(
        401,
        "malformed token: expected SharedAccessSignature sr=…&sig=…&se=<unix seconds>&skn=…",
        lambda it: it.token is NO_TOKEN,
    ),
    Check(401, "skn is not the name of a shared access policy of this hub", lambda it: it.rule is NO_RULE),
    Check(401, "the signature does not match sr and se", _bad_signature),
    Check(401, "the token has expired", lambda it: int(it.token.expiry) <= it.now),
    Check(401, "the token's audience (sr, in lower case) is not this hub", _other_audience),
)
SEND_RIGHT: Check[ServiceRequest] = Check(
    403, "the shared access policy has no Send right", lambda it: "Send" not in it.rule.rights
)
