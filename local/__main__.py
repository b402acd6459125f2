"""`python -m local`: the app on port 7071 with all that it needs, until Ctrl-C."""

import argparse
import signal
import socket
import sys
import threading
from pathlib import Path

from local.kept_data import FOLDER, KeptData, KeptDataError
from local.page import running_page
from local.page.host_lines import HostLines
from local.page.running_page import PageError, RunningPage
from local.process import ChildError
from local.run_text import run_text
from local.stack import ALERTS_HUB, ALL_NOTIFICATIONS, Stack, StackOptions

DEFAULT_PORT = 7071
"""The default of `func start`."""


class PortInUseError(Exception):
    """The app's port is in use; the message says what to do."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="of the app; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--page-port",
        type=int,
        help=f"of the page; 0 takes a free one (default: {running_page.DEFAULT_PORT}, or a free one)",
    )
    parser.add_argument("--storage", type=Path, help="folder of the database; by default it is temporary")
    parser.add_argument(
        "--data", type=Path, default=FOLDER, help="folder of keys and settings (default: %(default)s)"
    )
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser


def _check_port(port: int) -> None:
    """Fail before anything is started; 0 is always free."""
    with socket.socket() as probe:
        # As the server does: a connection that has just ended does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortInUseError(
                f"Port {port} cannot be used ({error.strerror}), perhaps because of another 'make run' or "
                f"'func start'. Stop that, or take another port: make run ARGS='--port {port + 2}'"
            ) from None


def _run(arguments: argparse.Namespace, stop: threading.Event) -> None:
    _check_port(arguments.port)
    kept, lines = KeptData(arguments.data.resolve()), HostLines()
    # With a free port for the app, the page takes a free one too.
    page_port = 0 if arguments.page_port is None and arguments.port == 0 else arguments.page_port

    def take_line(stream: str, line: str) -> None:
        lines(stream, line)
        if stream == "stderr":
            print(line, file=sys.stderr)

    options = StackOptions(
        port=arguments.port,
        keys=kept.keys(),
        settings=ALL_NOTIFICATIONS,
        spans=True,
        storage=arguments.storage,
        more_hubs=(ALERTS_HUB,),
        log_level=arguments.log_level,
        on_line=take_line,
        tell=lambda text: print(text, flush=True),
    )
    with Stack(options) as stack, RunningPage(stack, lines, port=page_port) as page:
        kept.write_settings(stack.settings)
        try:
            print(run_text(stack, page.url, kept.settings_file), flush=True)
            stop.wait()
        finally:
            kept.remove_settings()


def main() -> int:
    """Run the stack until SIGINT or SIGTERM; 1 if it cannot be started."""
    arguments, stop = _parser().parse_args(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        _run(arguments, stop)
    except (ChildError, KeptDataError, PageError, PortInUseError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
