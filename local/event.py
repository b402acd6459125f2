"""`python -m local.event MRI`: print an IncomingCall event for that user, ready to be delivered."""

import argparse
import json

from local.samples import CALLEE, cloud_event, event_grid_event, incoming_call_data


def main() -> None:
    """Print a batch of one event."""
    parser = argparse.ArgumentParser(prog="python -m local.event", description=__doc__)
    parser.add_argument("mri", nargs="?", default=CALLEE)
    parser.add_argument("--from-name", default="Grace Hopper", help="the caller's display name")
    parser.add_argument(
        "--cloud-event", action="store_true", help="in CloudEvents 1.0 instead of the Event Grid schema"
    )
    arguments = parser.parse_args()
    data = incoming_call_data(arguments.mri, display_name=arguments.from_name)
    print(json.dumps([cloud_event(data) if arguments.cloud_event else event_grid_event(data)]))


if __name__ == "__main__":
    main()
