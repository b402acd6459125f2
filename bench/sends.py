"""The send alone, over TLS: our hub client beside the two public ones."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Protocol

from bench.experiment import Bench, check_pushes, rotated
from bench.node_sender import NodeSender, why_not
from bench.remote import Remote, Usage
from bench.samples import Sample
from bench.senders import OurSender, Sends, public_python_sender

EXPERIMENT = "sends"
PER_CPU_SECOND = "sends/CPU-s"
RATE = "sends/s"
OURS = "ours (HubClient)"
PUBLIC_PYTHON = "notificationhubs-rest-python"
PUBLIC_NODE = "@azure/notification-hubs"
CONCURRENCIES = (1, 8)
_WARM_UP_ROUNDS = 3
"""Node.js goes on compiling for some thousand sends."""


class Asked(Protocol):
    """A sender in another process."""

    def ask(self, order: Sends) -> Usage:
        """Have pushes sent."""
        ...


def case(concurrency: int) -> str:
    """Its name."""
    return f"TLS, {concurrency} at a time"


def measure(bench: Bench) -> Iterator[Sample]:
    """Yield the samples; CPU time is that of the whole sending process."""
    rounds = bench.sizes.send_rounds
    done = bench.step("Sends alone", (_WARM_UP_ROUNDS + rounds) * len(CONCURRENCIES))
    with ExitStack() as stack:
        senders = _senders(bench, stack)
        for number in range(-_WARM_UP_ROUNDS, rounds):
            for concurrency in CONCURRENCIES:
                for name in rotated(tuple(senders), number):
                    count = _count(bench, name)
                    usage = _send(bench, senders[name], name, Sends(count, concurrency))
                    if number >= 0:
                        rates = {PER_CPU_SECOND: usage.cpu_seconds, RATE: usage.wall_seconds}
                        for metric, seconds in rates.items():
                            values = (count / seconds,)
                            yield Sample(EXPERIMENT, case(concurrency), name, metric, number, values)
                done()


def _senders(bench: Bench, stack: ExitStack) -> dict[str, Asked]:
    hub, environment = bench.services.tls, bench.services.environment(tls=True)
    senders: dict[str, Asked] = {
        OURS: stack.enter_context(Remote(OurSender, environment)),
        PUBLIC_PYTHON: stack.enter_context(Remote(partial(public_python_sender, hub.port), environment)),
    }
    reason = why_not()
    if reason is None:
        senders[PUBLIC_NODE] = stack.enter_context(NodeSender(hub.port, environment))
    else:
        bench.tell(f"{PUBLIC_NODE} is left out: {reason}.")
    return senders


def _count(bench: Bench, name: str) -> int:
    """A tenth for the one that shakes hands anew for every send."""
    return bench.sizes.sends // 10 if name == PUBLIC_PYTHON else bench.sizes.sends


def _send(bench: Bench, sender: Asked, name: str, order: Sends) -> Usage:
    bench.services.tls.begin()
    usage = sender.ask(order)
    check_pushes(bench.services.tls, expected=order.count, who=name)
    return usage
