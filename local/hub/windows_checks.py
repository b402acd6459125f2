"""What is refused of a push to Windows' devices (pure).

Sources: Notification Hubs REST, "Send a WNS native notification"; WNS, "Push notification service request and
response headers" and "Toast schema".
"""

from local.hub.check import Check
from local.hub.conditions import not_matching
from local.hub.direct_send import ParsedSend

_PREFIX = "x-wns-"
_KNOWN = frozenset(
    _PREFIX + name
    for name in ("type", "ttl", "tag", "group", "match", "cache-policy", "requestforstatus", "suppresspopup")
)
_CONTENT_TYPES = {
    "wns/raw": {"application/octet-stream"},
    "wns/toast": {"application/xml", "text/xml"},
}


def _type(send: ParsedSend) -> str:
    return send.headers["x-wns-type"].lower()


def _unknown_header(send: ParsedSend) -> bool:
    return any(name.startswith(_PREFIX) and name not in _KNOWN for name in send.headers)


def _not_xml(send: ParsedSend) -> bool:
    return _type(send) == "wns/toast" and send.xml is None


def _not_a_toast(send: ParsedSend) -> bool:
    if _type(send) != "wns/toast" or send.xml is None:
        return False
    bindings = send.xml.findall("visual/binding")
    shown = [binding for binding in bindings if binding.get("template") and binding.find("text") is not None]
    return send.xml.tag != "toast" or not shown


WINDOWS: tuple[Check[ParsedSend], ...] = (
    Check(400, "X-WNS-Type is missing", lambda send: "x-wns-type" not in send.headers),
    Check(
        400,
        "X-WNS-Type must be wns/raw for calls, or wns/toast",
        not_matching("x-wns-type", "(?i:wns/(raw|toast))"),
    ),
    Check(400, "unknown X-WNS header", _unknown_header),
    Check(
        400,
        "Content-Type must be application/octet-stream for wns/raw, an XML type for wns/toast",
        lambda send: send.content_type[0] not in _CONTENT_TYPES[_type(send)],
    ),
    Check(400, "the body is not well-formed XML, or has a document type", _not_xml),
    Check(400, "the body is not a toast: toast, visual, binding with a template, text", _not_a_toast),
    Check(400, "X-WNS-TTL must be whole seconds, zero or more", not_matching("x-wns-ttl", r"\d{1,12}")),
    Check(
        400, "X-WNS-Tag must be 1 to 16 letters and digits", not_matching("x-wns-tag", "[0-9A-Za-z]{1,16}")
    ),
)
