"""What nobody can tell from outside, and where to look instead (values).

Sources: "Communication Services notifications" (its troubleshooting guide), "Diagnose dropped notifications
in Azure Notification Hubs", Event Grid's delivery pages. `[?]`: not confirmed against live Azure.
"""

from doctor.findings import Area, Check

AREA = Area("elsewhere")


def _unknown(name: str, what: str, where: str) -> Check:
    return AREA.unknown(name, what, where, counts=False)


_PLACES = (
    _unknown(
        "platform credentials",
        "whether the hub has credentials for APNs, FCM v1 and WNS",
        "Portal, the notification hub, Settings: Apple (APNS), Google (FCM v1), Windows (WNS). Without them "
        "the hub takes a push and drops it; its metrics count it as a PNS error.",
    ),
    _unknown(
        "APNs authentication",
        "whether APNs is configured with a token or with a certificate",
        "Portal, the hub, Apple (APNS): 'Token' with a .p8 key. Calls do not work with a certificate.",
    ),
    _unknown(
        "APNs environment",
        "whether hub and app agree on sandbox or production",
        "Portal, the hub, Apple (APNS), 'Application Mode'. A build run from Xcode has a sandbox token, one "
        "from TestFlight or the App Store a production token. One hub serves one of the two.",
    ),
    _unknown(
        "bundle id",
        "whether the hub's Bundle ID fits a VoIP push",
        "Portal, the hub, Apple (APNS): the app's bundle id; a hub for VoIP alone may need <bundle id>.voip "
        "[?], and visible alerts then fail on it. APNs answers DeviceTokenNotForTopic or TopicDisallowed.",
    ),
    _unknown(
        "kind of token",
        "whether the app registers the token that rings",
        "In the app: on iOS the PushKit token (pushRegistry didUpdate), in hexadecimal, not the one of "
        "didRegisterForRemoteNotifications; on Android FCM's registration token of the "
        "hub's Firebase project.",
    ),
    _unknown(
        "Event Grid subscription",
        "whether calls reach the function at all",
        "Portal, the Communication Services resource, Events: a subscription for 'Incoming Call' to the "
        "function IncomingCallEventHandler, without a filter that leaves the user out. Its metrics show what "
        "was delivered, what failed, and a dead-letter container keeps what was given up; it is off "
        "unless it is set.",
    ),
    _unknown(
        "link to the hub",
        "whether the hub is linked to the Communication Services resource",
        "Not needed: this app sends the pushes itself. Where the two are linked and the app also calls "
        "registerPushNotifications, the phone rings twice.",
    ),
)


def places_to_look() -> list[Check]:
    """One check for each, which does not count."""
    return list(_PLACES)
