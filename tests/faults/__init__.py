"""The fault laboratory: networks, databases and name servers that misbehave on demand, on loopback.

**A TCP proxy** between the app and the hub, or the app and the database::

    with TcpProxy(hub.port) as proxy:   # point ANHHubUrl at http://127.0.0.1:{proxy.port}/…
        proxy.freeze_existing()         # open connections pass nothing more (no FIN, no RST); new ones work
        proxy.freeze_all()              # new ones are accepted and stay silent, too
        proxy.delay(1.1, Direction.TO_CLIENT)   # every chunk of an answer is late
        proxy.drip(0.3, Direction.TO_CLIENT)    # a byte every 0.3 s
        proxy.reset_existing()          # RST; close_existing() sends FIN
        proxy.lose_next_answer()        # the server acts; the client's connection is closed without an answer
        proxy.refuse_new()              # connection refused
        proxy.ignore_new()              # connecting times out (Linux)
        proxy.restore()                 # transparent again; accept_new() and thaw() end single faults
        proxy.opened, proxy.open        # connections so far, and now

Every method acts at once, from any thread, while connections are open; a `direction` limits it to one
direction. `delay` and `drip` also apply to new connections. With `TcpProxy(port, tls=context)` the proxy
terminates TLS: `local.certificates` makes the certificate, `local.hub.server.server_tls` the context.

A **FrontEndProxy** is a TcpProxy before the hub: `answer_existing(503)` has the connections that are open now
answer every request like this, as one front end of the hub that fails.

**A MongoDB proxy** is a TcpProxy that reads the commands::

    with MongoProxy(port_of(database.uri)) as proxy:
        proxy.lose_answer("insert", collection="CallLedger")   # carried out; the connection is closed
        proxy.lose_command("update", nth=2)             # never arrives; the connection is closed
        proxy.withhold_answer("find")                    # carried out; the open connection stays silent
        proxy.delay_answer("insert", 1.1)               # every answer from now on
        proxy.answer_error("find", 16500, RetryAfterMs=50)     # never arrives; answered with this error
        proxy.answer("insert", {"ok": 1.0, "n": 0, "writeErrors": […]})     # answered with this document
        proxy.commands                                  # [("insert", "CallLedger"), …]
        mongo_uri(proxy.port)                           # the connection string, like the stack's own

`nth` counts matching commands from the call on, `times` says for how many of them. The fail points of the
embedded database (`tests.rig.FailPoint`) act inside the server and know most codes too.

**An identity endpoint** and **a database that takes its tokens**, by MONGODB-OIDC::

    with IdentityEndpoint() as endpoint, OidcProxy(port_of(database.uri), endpoint) as database:
        settings = {**endpoint.environment(), "MongoDbConnectionString": database.uri()}
        endpoint.lifetime_seconds = 2.0                # of the tokens from now on
        endpoint.keeps_tokens = True                   # hands the same one out again, as Azure does
        endpoint.be_slow(4.0)                          # or hang(), drip(0.3), answer(429, headers=…), stop()
        database.revoke_tokens()                       # 391 on open connections, 18 on new ones
        database.remove_user(CLIENT_ID)                # 18
        database.knows_mechanism = False               # 334
        endpoint.requests, database.sign_ins, database.refusals

The endpoint's variables belong into the environment of the process that signs in. OidcProxy is a MongoProxy.

**A DNS server** for `mongodb+srv://`::

    with DnsServer() as dns:
        dns.add_mongodb("cluster.lab.test", proxy.port)
        dns.set_mode(DnsMode.SERVFAIL)             # or SILENCE, NXDOMAIN, ANSWER; also per record type: "SRV"
        with dns.as_resolver_of_this_process():    # dnspython and socket.getaddrinfo, not libcurl
            MongoClient("mongodb+srv://cluster.lab.test/?tls=false")
        settings = {**dns.environment(), "MongoDbConnectionString": …}
        another_host(stack, log, settings, host_module="tests.faults.host_with_dns")   # a worker process

`mongodb+srv` implies TLS: write `tls=false` in the connection string, or use a proxy with `tls` for the host
`server.cluster.lab.test` and `tlsCAFile=`. libcurl resolves names by itself: `tests.faults.namespaces`
makes this server the one that it asks.
"""

from local.tcp_proxy import Direction, TcpProxy
from tests.faults.dns_server import DnsMode, DnsServer
from tests.faults.front_end import FrontEndProxy
from tests.faults.identity_endpoint import CLIENT_ID, DATABASE_RESOURCE, IdentityEndpoint, TokenRequest
from tests.faults.mongo_proxy import MongoProxy, mongo_uri, port_of
from tests.faults.oidc_proxy import OidcProxy

__all__ = [
    "CLIENT_ID",
    "DATABASE_RESOURCE",
    "Direction",
    "DnsMode",
    "DnsServer",
    "FrontEndProxy",
    "IdentityEndpoint",
    "MongoProxy",
    "OidcProxy",
    "TcpProxy",
    "TokenRequest",
    "mongo_uri",
    "port_of",
]
