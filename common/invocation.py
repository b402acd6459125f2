"""The trace that an invocation of a function belongs to."""

from contextlib import AbstractContextManager

import azure.functions as func

from common.tracing import Tracer


def continued(tracer: Tracer, context: func.Context) -> AbstractContextManager[None]:
    """A block whose spans and log lines belong to the trace of the invocation.

    The worker attaches that trace to its event loop only. The threads of synchronous functions do not see it.
    """
    trace = context.trace_context
    return tracer.continuing(trace.trace_parent, trace.trace_state)
