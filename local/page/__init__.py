"""The page that `python -m local` serves: simulated phones, calls and the hub's faults.

- `sources` reads the database and the hub simulator, `host_lines` the app's log and spans.
- `pushes` reads a push as a phone does, `phone_calls` and `phones` say how calls stand on phones.
- `calls`, `event_grid` and `reporter` play what is around the app: Communication Services, Event Grid, and
  the apps on the phones.
- `trace` finds what belongs to a call; `sends`, `steps` and `story` tell it; `snapshot` makes the `views`
that the
  page shows; `watcher` streams them.
- `commands` are the browser's requests; `page_calls` carries out those about calls, `controller` the others.
- `routes` is the HTTP interface, `running_page` the server.
"""
