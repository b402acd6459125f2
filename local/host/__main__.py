"""`python -m local.host`: serve a Functions app on loopback."""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from local.host.keys import KEYS_VARIABLE, KeyRing, KeyRingError
from local.host.server import HostOptions, serve
from local.host.span_lines import record_spans
from local.host.worker import StartupError
from local.server_log import keep_requests_out_of_the_log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 1 if the app cannot be served."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=parsed.log_level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    if parsed.log_level != "DEBUG":
        # The worker library's line about indexing repeats every binding of every function.
        logging.getLogger("azure.functions").setLevel(logging.WARNING)
    keep_requests_out_of_the_log()
    options = HostOptions(parsed.app_directory, parsed.port, parsed.show_keys)
    out = sys.stdout
    if parsed.spans:
        record_spans(out)
    # What the app prints belongs to the log: stdout carries the ready line and the spans only.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            keys = KeyRing.from_json(os.environ.get(KEYS_VARIABLE, "{}"))
            all_ended = asyncio.run(serve(options, keys, ready_to=out))
        except (StartupError, KeyRingError, OSError) as error:
            print(f"{getattr(error, 'stack', '')}The host did not start: {error}", file=sys.stderr)
            return 1
    if not all_ended:
        logging.getLogger("local.host").error("Some invocations are still running and are abandoned")
        logging.shutdown()
        # A normal exit would wait for the pool's threads without a limit.
        os._exit(1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.host", description="Serve a Functions app on loopback."
    )
    parser.add_argument("--app-directory", type=Path, default=Path(), help="the folder of function_app.py")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    parser.add_argument("--show-keys", action="store_true", help="write the access keys to stderr")
    parser.add_argument("--spans", action="store_true", help="write each span of the app to stdout, in JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
