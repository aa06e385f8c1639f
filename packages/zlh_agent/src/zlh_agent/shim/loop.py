"""The loop of a shim: descriptors with their handlers, and the signals that reach it."""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
else:
    import _signal


class Loop:
    """Calls the handler of each descriptor that is ready."""

    def __init__(self) -> None:
        self._poller = select.poll()
        self._handlers: dict[int, Callable[[int], None]] = {}

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler` with the events of `fd` from now on."""
        self._handlers[fd] = handler
        self._poller.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Wait for other events of a descriptor; nothing happens where it is not watched any more."""
        if fd in self._handlers:
            self._poller.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor, before it is closed; may be called twice."""
        if self._handlers.pop(fd, None) is not None:
            self._poller.unregister(fd)

    def watch_signals(self, handlers: dict[int, Callable[[], None]]) -> None:
        """Call a handler in the loop for each signal, however many of it come together."""
        wake, wake_write = os.pipe()
        for fd in (wake, wake_write):
            os.set_blocking(fd, False)
        _signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in handlers:
            _signal.signal(number, lambda *_: None)

        def on_wake(_events: int) -> None:
            for number in set(os.read(wake, 4096)):
                handlers[number]()

        self.watch(wake, select.POLLIN, on_wake)

    def turn(self, timeout_ms: int | None) -> None:
        """Wait for something to happen, and handle all that has."""
        for fd, events in self._poller.poll(timeout_ms):
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(events)
