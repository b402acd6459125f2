"""Several exchanges at once in one thread, over libcurl's multi interface.

https://curl.se/libcurl/c/libcurl-multi.html, "multi_socket": libcurl says which sockets it waits for, and is
told which of them are ready.
"""

import selectors
import threading
import time

import pycurl

from push.hub.answers import Answer, NoAnswer
from push.hub.wire import Exchange

_NO_SOCKET_SECONDS = 0.01
"""How long is waited where libcurl names no socket."""


class ExchangeLoop:
    """Carries out exchanges, of one hub or several. For one thread at a time.

    It looks up ten names at once and no more, so it is for kept connections (`side_by_side.py`).
    """

    def __init__(self) -> None:
        """Make it; `close` closes it."""
        self._under_way: dict[pycurl.Curl, Exchange] = {}
        self._selector = _new_selector()
        self._watched: set[int] = set()
        """Descriptors of the sockets that libcurl waits for."""
        self._timer: float | None = None
        """Monotonic time at which libcurl wants to act without a socket. By the system's clock: libcurl has
        no other."""
        self._has_failed = False
        """An exchange has had no answer, so that its name look-up may still be under way."""
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    @property
    def is_idle(self) -> bool:
        """It holds no socket: neither of an exchange nor of a connection that the peer has yet to end."""
        return not self._under_way and not self._watched

    def start(self, exchange: Exchange) -> None:
        """Send the request, as far as that goes without waiting."""
        handle = exchange.connection.handle
        self._under_way[handle] = exchange
        self._multi.add_handle(handle)
        self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def wait(self, seconds: float | None = None) -> list[tuple[Exchange, Answer | NoAnswer]]:
        """The exchanges that have ended; waits for the first, for `seconds` at most."""
        ended = self._ended()
        if not ended:
            self._act(seconds)
            ended = self._ended()
        return ended

    def close(self) -> None:
        """Close it; an exchange that is under way ends without a reply."""
        may_wait = self._has_failed or bool(self._under_way)
        for handle in self._under_way:
            self._multi.remove_handle(handle)
        self._under_way.clear()
        if not may_wait:
            self._close()
            return
        # In a thread of its own, since libcurl waits for name look-ups that hang, for several seconds after
        # their exchanges have timed out. pycurl does not take the option that would end that
        # (CURLMOPT_QUICK_EXIT).
        try:
            threading.Thread(target=self._close, name="close-exchange-loop", daemon=True).start()
        except RuntimeError:  # the machine has no thread left
            self._close()

    def _close(self) -> None:
        self._multi.close()
        del self._multi  # it refers to this object by its callbacks
        self._selector.close()

    def _act(self, seconds: float | None) -> None:
        """Wait until a socket is ready, the timer is due or the time is up, and let libcurl act."""
        timeout = self._until_timer(seconds)
        if self._watched:
            ready = self._selector.select(timeout)
        else:  # with no socket, Windows refuses to select
            ready = []
            time.sleep(_NO_SOCKET_SECONDS if timeout is None else min(timeout, _NO_SOCKET_SECONDS))
        for key, events in ready:
            mask = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
            mask |= pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0
            self._multi.socket_action(key.fd, mask)
        if not ready:
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _until_timer(self, seconds: float | None) -> float | None:
        if self._timer is None:
            return seconds
        left = max(0.0, self._timer - time.monotonic())
        return left if seconds is None else min(left, seconds)

    def _ended(self) -> list[tuple[Exchange, Answer | NoAnswer]]:
        ended: list[tuple[pycurl.Curl, int]] = []
        queued = 1
        while queued:
            queued, succeeded, failed = self._multi.info_read()
            ended += [(handle, pycurl.E_OK) for handle in succeeded]
            ended += [(handle, code) for handle, code, _ in failed]
        return [self._end(handle, code) for handle, code in ended]

    def _end(self, handle: pycurl.Curl, code: int) -> tuple[Exchange, Answer | NoAnswer]:
        self._multi.remove_handle(handle)
        exchange = self._under_way.pop(handle)
        reply = exchange.finish(code)
        self._has_failed = self._has_failed or isinstance(reply, NoAnswer)
        return exchange, reply

    def _watch(self, what: int, descriptor: int, *_: object) -> None:
        """libcurl's callback: which events of a socket it waits for."""
        if what in {pycurl.POLL_REMOVE, pycurl.POLL_NONE}:
            if descriptor in self._watched:
                self._watched.remove(descriptor)
                self._selector.unregister(descriptor)
            return
        events = selectors.EVENT_READ if what & pycurl.POLL_IN else 0
        events |= selectors.EVENT_WRITE if what & pycurl.POLL_OUT else 0
        if descriptor in self._watched:
            self._selector.modify(descriptor, events)
        else:
            self._watched.add(descriptor)
            self._selector.register(descriptor, events)

    def _set_timer(self, milliseconds: int) -> None:
        """libcurl's callback: when to act at the latest; -1 for no time."""
        self._timer = None if milliseconds < 0 else time.monotonic() + milliseconds / 1_000


def _new_selector() -> selectors.BaseSelector:
    """One that takes no system call for each change: a socket is waited for once or twice."""
    if hasattr(selectors, "PollSelector"):
        return selectors.PollSelector()
    return selectors.DefaultSelector()  # Windows
