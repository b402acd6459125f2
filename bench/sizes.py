"""How much is measured."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of one kind of run."""

    name: str
    latency_rounds: int
    latency_calls: int
    """Calls a round for each number of devices; the reference way, which is slow, makes fewer."""
    throughput_rounds: int
    throughput_events: int
    """Events a round; the reference way makes a third of them."""
    send_rounds: int
    sends: int
    """Pushes a round; the client that shakes hands anew for each makes a tenth of them."""
    import_rounds: int
    start_rounds: int
    registrar_rounds: int
    registrar_requests: int
    lookup_rounds: int
    lookups: int
    registrations: tuple[int, ...]
    """How many the database holds while they are looked up; the first one is what the rest is held to."""
    memory_events: int


SMOKE = Sizes("smoke", 2, 2, 2, 30, 2, 20, 2, 1, 2, 20, 2, 50, (200, 1_000), 200)
SHORT = Sizes("short", 10, 8, 20, 120, 10, 600, 15, 5, 5, 400, 10, 500, (1_000, 20_000), 3_000)
LONG = replace(
    SHORT,
    name="long",
    lookup_rounds=20,
    lookups=1_000,
    registrations=(1_000, 100_000, 1_000_000),
    memory_events=50_000,
)
