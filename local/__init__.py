"""The development stack: what the app needs of Azure, on loopback. Nothing of it is deployed.

- `host/`: the Functions host; `hub/`: the Notification Hubs simulator; `database`: the embedded MongoDB.
- `stack` starts all of them; `page/` shows them in a browser.
- Commands: `python -m local` (run), `local.demo`, `local.soak`, `local.event`, `local.host`, `local.hub`.
"""
