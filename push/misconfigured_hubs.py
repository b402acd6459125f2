"""What an operator is told of hubs that refuse what the settings say."""

import logging
from collections.abc import Iterable

from common import telemetry
from models.hub import HubSettingNames
from models.push import DeviceResult, Outcome


def tell_of_misconfigured_hubs(results: Iterable[DeviceResult]) -> None:
    """Write one line at CRITICAL for each hub, however many devices its refusal has cost."""
    by_hub: dict[str, list[Outcome]] = {}
    for result in results:
        outcome = result.outcome
        if outcome.is_refused_as_misconfigured or outcome.used_secondary_key:
            by_hub.setdefault(result.hub, []).append(outcome)
    for hub, outcomes in sorted(by_hub.items()):
        wrong = [outcome for outcome in outcomes if outcome.is_refused_as_misconfigured]
        if wrong:
            telemetry.log(
                logging.CRITICAL,
                "misconfigured",
                hub=hub,
                status=wrong[0].status,
                remedy=wrong[0].reason,
                tracking_id=wrong[0].tracking_id,
                devices=len(wrong),
            )
        else:
            setting = HubSettingNames.of(hub).connection_string
            telemetry.log(
                logging.CRITICAL,
                "hub_key_refused",
                hub=hub,
                remedy=f"The hub refuses the key of {setting}; pushes are sent with the secondary one. "
                f"Put the regenerated key into {setting}.",
            )
