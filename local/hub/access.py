"""What the service refuses because of a request's SAS token (pure).

Sources: Service Bus, "Shared Access Signature authentication"; Notification Hubs, "Security".
"""

import hmac
import re
from urllib.parse import unquote

from local.hub.check import Check
from local.hub.service_request import NO_RULE, NO_TOKEN, ServiceRequest, signature

_RESOURCE = re.compile(r"(?:https?|sb)://([^/?#]+)(/[^?#]*)?(?:\?[^#]*)?")
"""The SDK for Java signs the whole URL, with its query."""


def _bad_signature(request: ServiceRequest) -> bool:
    expected = signature(request.rule.key, f"{request.token.resource}\n{request.token.expiry}")
    return not hmac.compare_digest(expected.encode(), request.token.signature.encode())


def _other_audience(request: ServiceRequest) -> bool:
    resource = _RESOURCE.fullmatch(unquote(request.token.resource))
    # The SDK for .NET drops the port.
    if resource is None or resource[1] not in {request.hub.host, request.hub.host.partition(":")[0]}:
        return True
    claimed = (resource[2] or "").strip("/").split("/") if (resource[2] or "").strip("/") else []
    return claimed != request.request.segments[: len(claimed)]


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
