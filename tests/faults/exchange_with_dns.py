"""One exchange over libcurl whose name server fails; prints how the exchange ended.

Usage, within `tests.faults.namespaces`:
`python -m tests.faults.exchange_with_dns silence|NXDOMAIN alone|loop`.
"""

import json
import os
import sys
import time

from push.hub.connection import Request
from push.hub.wire import HubWire, Timeouts
from tests.contract.conftest import LoopWire
from tests.faults.dns_server import DnsMode
from tests.faults.namespaces import start_name_server


def main(mode: DnsMode, way: str) -> None:
    """Print how the exchange ended, how long it and closing the connection took, and what was looked up."""
    server = start_name_server(mode)
    started = time.monotonic()
    make_wire = LoopWire if way == "loop" else HubWire
    with make_wire(Timeouts(connect=0.5, read=0.5), time.monotonic) as wire:
        reply = wire.exchange(Request("https://contoso.servicebus.windows.net/", {}, b"{}"), 10.0)
    seconds = time.monotonic() - started
    found = {"reply": str(reply), "seconds": seconds, "queries": server.queries}
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # without waiting for the resolver's thread


if __name__ == "__main__":
    main(DnsMode(sys.argv[1]), sys.argv[2])
