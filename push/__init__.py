"""One incoming call in, one push to each of the callee's devices out."""
