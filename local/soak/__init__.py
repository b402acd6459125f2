"""The soak: thousands of calls with faults and duplicates, after which every phone must have rung once, and
been told at most once to ring no more.

Two worker processes use one database and two hubs; phones, PCs and browsers are registered at either. The hub
fails a share of its requests; the network between workers, hub and database fails in between. Events are
delivered as Event Grid does: an event that is not acknowledged is delivered again, some events are delivered
twice at the same time or again later. While phones ring, every fifth call is answered, every fifth declined,
and every tenth ended by the caller.

- `plan`: what a run does; `network_faults`: the faults of the network and their schedule.
- `phones` places the calls, `steps` says what is sent for each, `event_grid` delivers.
- `hub_proxy` records which answers a worker has read, `worker_log` which results were not recorded in time.
- `counts` and `report`: the result and its rules; `run` puts it together.
"""
