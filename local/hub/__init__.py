"""A Notification Hubs simulator: Direct Send over HTTP on loopback, with a control API under ``/simulator/``.

``python -m local.hub`` runs it in a process, ``running.RunningHub`` in a thread. ``checks`` decides what it
refuses, ``memory`` keeps what it received, ``faults`` disturbs it, ``server`` speaks HTTP, ``control_api`` is
its control API, ``control_client`` the client for that. It answers as Notification Hubs REST, "Direct Send".
"""
