"""A Notification Hubs simulator: Direct Send over HTTP on loopback, with a control API under `/simulator/`.

`python -m local.hub` runs it in a process of its own, `running_hub.RunningHub` in a thread.

- `direct_send` parses a request, `checks` decides what is refused.
- `faults` says which answers go wrong, `simulator` records what was received.
- `server` speaks HTTP, `control_api` is the control API, `control_client` its client.

It answers as described in Notification Hubs REST, "Direct Send".
"""
