"""`python -m tests.faults.host_with_dns`: `local.host` in a process whose resolver is a DnsServer."""

import os
import sys

import dns.resolver

from local.host.__main__ import main
from tests.faults.dns_server import LOOPBACK, PORT_VARIABLE, replaced_resolver

if __name__ == "__main__":
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [LOOPBACK]
    resolver.port = int(os.environ[PORT_VARIABLE])
    with replaced_resolver(resolver):
        sys.exit(main())
