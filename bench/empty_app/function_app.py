"""One Event Grid function."""

import azure.functions as func

app = func.FunctionApp()


@app.function_name("IncomingCallEventHandler")
@app.event_grid_trigger(arg_name="event")
def incoming_call_event_handler(event: str) -> None:
    """Take the event and be done."""
