"""The HTTP side of the Azure Functions host on loopback, over the real Python worker library.

`python -m local.host --app-directory .` serves an app.

- `worker` drives the worker library, with the messages of `protos`.
- `functions_host` routes requests: `http_route` for HTTP functions, `event_grid_webhook` for Event Grid,
  `admin` for the host itself.
- `timers` runs timer functions, `background` what no request waits for.
- `keys` holds the access keys, `invocation_log` the log lines of an invocation.
- `server` listens.
"""
