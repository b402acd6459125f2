"""What the hub simulator tells about the orders that it has, for whoever shows them."""

from local.hub.control_client import HubControl
from local.hub.faults import Fault
from local.hub.running import RunningHub


def test_orders_that_are_left() -> None:
    """The faults that are still to strike are listed with how often, oldest first."""
    with RunningHub() as hub, HubControl(hub.url) as control:
        control.add_fault(Fault(kind="status", status=503, times=2))
        control.add_fault(Fault(kind="drop"))
        hub.simulator._faults.strike("any phone")
        assert [(fault.kind, fault.times) for fault in control.faults()] == [("status", 1), ("drop", None)]
        control.clear_faults()
        assert control.faults() == []


def test_latency_that_is_set() -> None:
    """The latency can be read as it was set."""
    with RunningHub() as hub, HubControl(hub.url) as control:
        assert control.latency() == 0
        control.set_latency(0.25)
        assert control.latency() == 0.25
