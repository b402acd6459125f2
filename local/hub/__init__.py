"""A Notification Hubs simulator over HTTP on loopback, with a control API under `/simulator/`.

`python -m local.hub` runs it in a process of its own, `running_hub.RunningHub` in a thread.

- `service_request` and `direct_send` parse a request. `checks` decides what is refused, with `access` for the
  token and one table a platform (`apple_checks`, …); `reads` decides it for telemetry and feedback.
- `faults` says which answers go wrong, `platforms` what becomes of accepted pushes, `simulator` records.
- `telemetry` and `feedback` are the documents that the service tells of it.
- `server` speaks HTTP: Direct Send, `read_api`, `blob_api`, and `control_api`, whose client is
`control_client`.

It answers as described in Notification Hubs REST: "Direct Send", "Get notification message telemetry", "Get
PNS feedback".
"""
