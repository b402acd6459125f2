"""One event whose hub cannot be looked up in its first delivery, and can in its second; prints what was seen.

Usage, within `tests.faults.namespaces`: `python -m tests.faults.event_with_dns silence|SERVFAIL|NXDOMAIN`.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from local.certificates import make_certificates
from local.database import EmbeddedDatabase
from local.hub.config import DEVELOPMENT_HUB
from local.hub.running_hub import RunningHub
from local.hub.server import server_tls
from local.hub.simulator import Simulator
from models.hub import HubConnectionString
from tests.end_to_end.hosts import new_user
from tests.faults.dns_server import LOOPBACK, DnsMode
from tests.faults.namespaces import start_name_server
from tests.rig import Instance, call_to

SHORT = {"HubReadTimeoutSeconds": 0.5, "HubConnectTimeoutSeconds": 0.5, "InvocationTimeoutSeconds": 5}


def main(mode: DnsMode) -> None:
    """Print what Event Grid hears, the rings, the tries, and the seconds of each delivery."""
    names = start_name_server(mode)
    host = HubConnectionString.parse(DEVELOPMENT_HUB.connection_string()).host
    names.add(host, "A", LOOPBACK)
    with tempfile.TemporaryDirectory() as directory:
        certificates = make_certificates(Path(directory), host)
        os.environ["REQUESTS_CA_BUNDLE"] = str(certificates.bundle)
        tls = server_tls(certificates.certificate, certificates.key)
        settings = {**SHORT, "ANHHubUrl": ""}  # it follows from the connection string
        with (
            EmbeddedDatabase() as database,
            RunningHub(Simulator(), port=443, tls=tls) as hub,
            Instance(hub, database.uri, settings, jitter=lambda: 0.9) as app,
        ):
            device = app.register(user := new_user())[0]
            event = call_to(user)
            first, rings, tries = app.deliver(event), [app.rings(device)], len(app.sends.tokens)
            names.set_mode(DnsMode.ANSWER)
            second = app.deliver(event)
            found = {
                "statuses": [first.status, second.status],
                "rings": [*rings, app.rings(device)],
                "tries": tries,
                "seconds": [first.seconds, second.seconds],
            }
            sys.stdout.write(json.dumps(found))
            sys.stdout.flush()
    os._exit(0)  # without waiting for the resolver's threads


if __name__ == "__main__":
    main(DnsMode(sys.argv[1]))
