"""What the hub's answers mean (pure).

Observed on the live service: a wrong key is 401 "InvalidSignature", a missing right 401 "… claim is
required" (and, by the documentation, 403). `[?]` marks what nobody has confirmed there.
"""

from doctor.findings import Area, Check
from doctor.hub_probe import HubAnswer, HubFindings, NoAnswer

AREA = Area("hub")

REACHABLE, EXISTS, KEY, SEND, SECOND = "reachable", "exists", "key", "Send right", "secondary key"

_ACCESS_POLICIES = "the hub's Access Policies in the portal"
_NO_ANSWER_REMEDIES = {
    NoAnswer.NO_SUCH_HOST: "Compare the Endpoint in ANHHubConnectionString with the namespace's host name: "
    "it was deleted, renamed or misspelled, or this machine has no DNS.",
    NoAnswer.TLS: "Look for a proxy that breaks TLS open, and at this machine's clock and certificates.",
    NoAnswer.TIMED_OUT: "Look at the firewall on the way (port 443) and at Azure's status page.",
    NoAnswer.NO_CONNECTION: "Look at the firewall or proxy on the way (port 443), and whether public access "
    "to the namespace is switched off.",
}


def check_hub(found: HubFindings) -> list[Check]:
    """Reachable, there, the right key, the right to send."""
    first = found.first
    if isinstance(first, NoAnswer):
        remedy = _NO_ANSWER_REMEDIES[first]
        return [AREA.failed(REACHABLE, first.value, remedy), *_untold("the hub did not answer")]
    checks = [AREA.passed(REACHABLE, f"answered in {first.seconds * 1_000:.0f} ms")]
    if _is_unwell(first):
        return [_unwell(first), *_untold("the hub answered with an error of its own")]
    checks += _verdicts(first, found)
    return checks if found.second is None else [*checks, _second(found.second)]


def _is_unwell(answer: HubAnswer) -> bool:
    throttled = answer.status == 429 or (answer.status == 403 and answer.asked_for_patience)
    return throttled or answer.status == 408 or answer.status >= 500 or 300 <= answer.status < 400


def _unwell(answer: HubAnswer) -> Check:
    detail = f"it answers with {answer.status}"
    if 300 <= answer.status < 400:
        return AREA.failed(REACHABLE, detail, "Something redirects the hub's URL: check ANHHubUrl.")
    if answer.status in {403, 429}:
        return AREA.failed(REACHABLE, f"{detail}: throttled", "Wait, or raise the namespace's tier.")
    return AREA.failed(REACHABLE, detail, "Try again; if it stays, look at Azure's status page.")


def _untold(why: str) -> list[Check]:
    return [AREA.unknown(name, why) for name in (EXISTS, KEY, SEND)]


def _verdicts(first: HubAnswer, found: HubFindings) -> list[Check]:
    if first.status == 404:
        return [_no_hub(), *(AREA.unknown(name, "there is no hub to ask") for name in (KEY, SEND))]
    if _lacks_right(first):
        there = AREA.passed(EXISTS, "it knows the key")
        return [there, AREA.passed(KEY, "the signature is accepted"), _no_send_right(first)]
    if first.status == 401:
        why = "the key is refused before that"
        return [AREA.unknown(EXISTS, why), _wrong_key(first), AREA.unknown(SEND, why)]
    return [_exists(first, found), _key(first, found), _send(first)]


def _lacks_right(answer: HubAnswer) -> bool:
    return answer.status == 403 or (answer.status == 401 and "claim" in answer.text.lower())


def _no_hub() -> Check:
    return AREA.failed(
        EXISTS,
        "404: there is no hub of that name in the namespace",
        "Compare ANHHubName with the portal: a hub's name, not the namespace's. Was the hub deleted?",
    )


def _no_send_right(answer: HubAnswer) -> Check:
    return AREA.failed(
        SEND,
        f"{answer.status}: the policy in ANHHubConnectionString has no Send right",
        f"Take the connection string of a policy with Send, no more, from {_ACCESS_POLICIES}.",
    )


def _wrong_key(answer: HubAnswer) -> Check:
    return AREA.failed(
        KEY,
        f"{answer.status}: the key is wrong or was regenerated",
        f"Copy the connection string again from {_ACCESS_POLICIES}. If it is the same: a policy of another "
        "hub is refused like this too, and with a policy of the hub itself so may be a wrong ANHHubName [?]; "
        "so is a clock that is an hour behind.",
    )


def _differs(control: HubAnswer | NoAnswer | None, first: HubAnswer) -> bool:
    """True if the control was refused for what is wrong with it, and not for what both have wrong."""
    return isinstance(control, HubAnswer) and control.status in {401, 404} and control.status != first.status


def _exists(first: HubAnswer, found: HubFindings) -> Check:
    if _is_taken(first) or _differs(found.elsewhere, first):
        return AREA.passed(EXISTS, "a made-up hub is answered differently")
    return AREA.unknown(EXISTS, "a made-up hub is answered just like this one", "Compare ANHHubName.")


def _key(first: HubAnswer, found: HubFindings) -> Check:
    if _is_taken(first) or _differs(found.forged, first):
        return AREA.passed(KEY, "a forged signature is refused, ours is not")
    return AREA.unknown(
        KEY, "a forged signature is answered just like ours", "'ring' one's own device: it settles it."
    )


def _is_taken(answer: HubAnswer) -> bool:
    return 200 <= answer.status < 300


def _send(first: HubAnswer) -> Check:
    if _is_taken(first):
        return AREA.passed(SEND, "a push to a device that does not exist was taken")
    return AREA.unknown(
        SEND,
        f"{first.status}: the hub objects to the probe's format, and not to the policy's rights; whether it "
        "looks at those first is not confirmed [?]",
        f"See that the policy has Send in {_ACCESS_POLICIES}; 'ring' one's own device settles it.",
        counts=False,
    )


def _second(answer: HubAnswer | NoAnswer) -> Check:
    if isinstance(answer, NoAnswer) or _is_unwell(answer):
        return AREA.unknown(SECOND, "not answered")
    if answer.status in {401, 403}:
        return AREA.failed(
            SECOND,
            f"{answer.status}: the hub refuses it, so a regenerated first key would stop all rings",
            f"Copy ANHHubConnectionStringSecondary again from {_ACCESS_POLICIES}.",
        )
    return AREA.passed(SECOND, "answered like the first")
