"""One Event Grid function over `bench.reference`."""

import azure.functions as func

from bench import reference

app = func.FunctionApp()


@app.function_name("IncomingCallEventHandler")
@app.event_grid_trigger(arg_name="event")
def incoming_call_event_handler(event: str) -> None:
    """Ring."""
    reference.ring(event)
