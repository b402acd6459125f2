"""The timer function `ForgetDeadDevices`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from common.invocation import continued
from common.tracing import Tracer
from models.errors import ServiceError
from push.trigger import tell_misconfigured

if TYPE_CHECKING:  # what it imports belongs to no call
    from push.dead_devices import DeadDevices


def forget(dead_devices: "Callable[[], DeadDevices]") -> None:
    """Sweep once; settings that are wrong are logged, since the next run would meet them again."""
    try:
        dead_devices().sweep()
    except ServiceError as error:
        tell_misconfigured(error)


def dead_devices_blueprint(
    schedule: str, dead_devices: "Callable[[], DeadDevices]", tracer: Callable[[], Tracer]
) -> func.Blueprint:
    """The function, run by `schedule` (NCRONTAB, UTC). The host keeps its state in `AzureWebJobsStorage`.

    `dead_devices` is called at the first run.
    """
    blueprint = func.Blueprint()  # type: ignore[no-untyped-call]

    @blueprint.function_name("ForgetDeadDevices")
    @blueprint.timer_trigger(arg_name="timer", schedule=schedule, run_on_startup=False)
    def forget_dead_devices(timer: func.TimerRequest, context: func.Context) -> None:  # noqa: ARG001
        with continued(tracer(), context), tracer().span("forget dead devices"):
            forget(dead_devices)

    return blueprint
