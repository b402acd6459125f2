"""What cannot be known from here, and where to look instead.

Sources: "Communication Services notifications" (its troubleshooting guide), "Diagnose dropped notifications
in Azure Notification Hubs", Event Grid's delivery pages. `[?]`: not confirmed against live Azure.
"""

from doctor.checks.findings import Area, Check

AREA = Area("elsewhere")

CREDENTIALS, AUTHENTICATION, ENVIRONMENT, BUNDLE_ID, TOKEN_KIND, SUBSCRIPTION, LINK = (
    "platform credentials", "APNs authentication", "APNs environment", "bundle id", "kind of token",
    "Event Grid subscription", "link to the hub",
)  # fmt: skip


def _unknown(name: str, what: str, where: str) -> Check:
    return AREA.unknown(name, what, where, counts=False)


_PLACES = (
    _unknown(
        CREDENTIALS,
        "whether the hub has credentials for APNs, FCM v1 and WNS",
        "Portal, the notification hub, Settings: Apple (APNS), Google (FCM v1), Windows (WNS). Without them "
        "the hub accepts a push and drops it; its metrics count it as a PNS error.",
    ),
    _unknown(
        AUTHENTICATION,
        "whether APNs is configured with a token or with a certificate",
        "Portal, the hub, Apple (APNS): 'Token' with a .p8 key. Calls do not work with a certificate.",
    ),
    _unknown(
        ENVIRONMENT,
        "whether hub and app agree on sandbox or production",
        "Portal, the hub, Apple (APNS), 'Application Mode'. A build run from Xcode has a sandbox token, one "
        "from TestFlight or the App Store a production token. One hub serves one of the two.",
    ),
    _unknown(
        BUNDLE_ID,
        "whether the hub's Bundle ID fits a VoIP push",
        "Portal, the hub, Apple (APNS): the app's bundle id; a hub for VoIP alone may need <bundle id>.voip "
        "[?], and visible alerts then fail on it. APNs answers DeviceTokenNotForTopic or TopicDisallowed.",
    ),
    _unknown(
        TOKEN_KIND,
        "whether the app registers the token that rings",
        "In the app: on iOS the PushKit token (pushRegistry didUpdate), in hexadecimal, not the one of "
        "didRegisterForRemoteNotifications; on Android the registration token of the hub's Firebase project.",
    ),
    _unknown(
        SUBSCRIPTION,
        "whether calls reach the function at all",
        "Portal, the Communication Services resource, Events: a subscription for 'Incoming Call' to the "
        "function IncomingCallEventHandler, without a filter that leaves the user out. Its metrics show "
        "what was delivered and what failed; a dead-letter container, off unless it is set, keeps what was "
        "given up.",
    ),
    _unknown(
        LINK,
        "whether the hub is linked to the Communication Services resource",
        "A link is not needed: this app sends the pushes itself. Where the two are linked and the app also "
        "calls registerPushNotifications, the phone rings twice.",
    ),
)


def places_to_look(answered: frozenset[str] = frozenset()) -> list[Check]:
    """One check for each that is not among the answered ones; none counts."""
    return [place for place in _PLACES if place.name not in answered]
