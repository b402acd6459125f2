"""A phone whose app is removed is silent, is named by the platform's feedback, and is forgotten."""

from local.hub.records import PlatformOutcome
from local.samples import event_grid_event, incoming_call_data
from local.stack import Host, Stack
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import register_phones
from tests.rig import eventually

SWEEP = "ForgetDeadDevices"


def test_uninstalled_app(stack: Stack, host: Host, user: str, log: HostLog) -> None:
    """The hub accepts the push all the same; the next sweep of the timer function deletes the registration,
    and no other."""
    iphone, android, windows = register_phones(host, user)
    stack.hub.set_outcome(android.device_token, PlatformOutcome.EXPIRED_CHANNEL)
    data = incoming_call_data(user)
    assert host.deliver(event_grid_event(data)).status_code == 202
    received = [push for push in stack.hub.pushes() if push.call_id == data["correlationId"]]
    assert {push.device_handle: push.outcome for push in received} == {
        iphone.device_token: PlatformOutcome.SUCCESS,
        android.device_token: PlatformOutcome.EXPIRED_CHANNEL,
        windows.device_token: PlatformOutcome.SUCCESS,
    }
    assert host.run_now(SWEEP).status_code == 202
    eventually(lambda: len(host.get_device_registrations(user).json()["deviceInfos"]) == 2)
    left = {each["deviceToken"] for each in host.get_device_registrations(user).json()["deviceInfos"]}
    assert left == {iphone.device_token, windows.device_token}
    eventually(lambda: f"Executed 'Functions.{SWEEP}' (Succeeded" in "\n".join(log.lines()))
    assert android.device_token not in "\n".join(log.lines())
