"""A Functions app with one function for each thing that the development host must do."""

import json
import logging
import os
import threading

import azure.functions as func

log = logging.getLogger("sample")
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

# How many invocations `Meet` waits for, each on its own pool thread; the wait is bounded, in seconds.
_TOGETHER = threading.Barrier(2)
_MEETING_TIMEOUT = 2.0

print("printed while importing")  # noqa: T201 - to see where it goes


@app.function_name("Echo")
@app.route(route="echo", methods=["POST", "GET"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    """What reached the worker, as JSON."""
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "body": req.get_body().decode("latin-1"),
    }
    log.info("echo was called")
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")


@app.function_name("Bytes")
@app.route(route="bytes", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
def give_back(req: func.HttpRequest) -> func.HttpResponse:
    """The body again, with an unusual status, content type, header and cookie."""
    headers = {
        "X-Sample": "yes",
        "Set-Cookie": "taste=sweet; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax",
    }
    return func.HttpResponse(
        req.get_body(), status_code=207, mimetype="application/problem+json", headers=headers
    )


@app.function_name("Item")
@app.route(route="items/{id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def item(req: func.HttpRequest) -> str:
    """The route parameter as plain text."""
    return str(req.route_params["id"])


@app.function_name("AllItems")
@app.route(route="items/all", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def all_items(req: func.HttpRequest) -> str:
    """A literal route beside the one with a parameter."""
    return f"all of them, by {req.method}"


@app.function_name("AnyMethod")
@app.route(route="any", auth_level=func.AuthLevel.ANONYMOUS)
async def any_method(req: func.HttpRequest) -> func.HttpResponse:
    """A trigger that names no method, and a coroutine."""
    return func.HttpResponse(headers={"X-Method": req.method})


@app.function_name("Admin")
@app.route(route="administer", methods=["GET"], auth_level=func.AuthLevel.ADMIN)
def administer(req: func.HttpRequest) -> func.HttpResponse:
    """For the master key only."""
    return func.HttpResponse(req.method)


@app.function_name("Raise")
@app.route(route="raise", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def fail(req: func.HttpRequest) -> func.HttpResponse:
    """Raises, with a cause."""
    try:
        json.loads("not JSON")
    except ValueError as error:
        raise RuntimeError(f"the sample failed on {req.method}") from error
    return func.HttpResponse()


@app.function_name("Odd")
@app.route(route="odd", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def odd(req: func.HttpRequest) -> func.HttpResponse:
    """Answers a status that is none."""
    return func.HttpResponse(req.method, status_code=99999)


@app.function_name("Meet")
@app.route(route="meet", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def meet(req: func.HttpRequest) -> func.HttpResponse:
    """200 if two invocations run at once, else 408."""
    log.info("meeting by %s", req.method)
    try:
        _TOGETHER.wait(_MEETING_TIMEOUT)
    except threading.BrokenBarrierError:
        return func.HttpResponse(status_code=408)
    return func.HttpResponse(status_code=200)


@app.function_name("OnText")
@app.event_grid_trigger(arg_name="event")
def on_text(event: str) -> None:
    """Logs the text that it gets."""
    log.info("text event: %s", event)


@app.function_name("OnEvent")
@app.event_grid_trigger(arg_name="event")
def on_event(event: func.EventGridEvent) -> None:
    """Logs which schema it gets; raises for an event whose data says so."""
    data = event.get_json()
    log.info("%s event %s", type(event).__name__, event.id)
    if data.get("fail"):
        raise RuntimeError(f"the event {event.id} failed")


@app.function_name("OnTimer")
@app.timer_trigger(arg_name="timer", schedule="0 0 0 29 2 *", run_on_startup=True)
def on_timer(timer: func.TimerRequest) -> None:
    """Logs what it is told; raises if it is told to."""
    # The annotation is that of the library's documentation, which lacks what its objects have.
    log.info("timer, past due: %s, %s", timer.past_due, sorted(timer.schedule_status))  # type: ignore[attr-defined]
    if os.environ.get("SAMPLE_TIMER_FAILS"):
        raise RuntimeError("the timer failed")
