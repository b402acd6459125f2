"""`python -m local.soak`: thousands of calls with faults and duplicates; every phone must ring once, and stop
once at most."""

import argparse
import sys

import requests

from local.process import ChildError
from local.soak.plan import Plan
from local.soak.run import soak


def main() -> int:
    """Run the soak; 0 if it passed, 1 if it failed, 2 if it could not be run."""
    parser = argparse.ArgumentParser(prog="python -m local.soak", description=__doc__)
    parser.add_argument("--events", type=int, default=Plan.events, help="number of calls")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of the random numbers")
    parser.add_argument(
        "--network-faults",
        action=argparse.BooleanOptionalAction,
        default=Plan.network_faults,
        help="faults of the connections to hub and database, beside those of the hub's answers",
    )
    arguments = parser.parse_args()
    plan = Plan(arguments.events, arguments.seed, network_faults=arguments.network_faults)
    print(f"{plan.events} calls, seed {plan.seed}", flush=True)
    try:
        report = soak(plan, lambda line: print(line, flush=True))
    except (ChildError, requests.RequestException) as error:
        print(f"The soak could not be run: {error}", file=sys.stderr)
        return 2
    print("\n".join(report.lines()), flush=True)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
