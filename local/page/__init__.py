"""The page that `python -m local` serves: simulated phones, calls and the hub's faults.

- `sources` reads the database and the hub simulator, `host_lines` the app's log.
- `snapshot` turns that into the `views` that the page shows; `watcher` streams them.
- `commands` are the browser's requests, `controller` carries them out.
- `routes` is the HTTP interface, `running_page` the server.
"""
