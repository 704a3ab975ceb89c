"""`MessageWidget`: a widget whose value travels as messages, in the same order as clicks.

Front ends delay changes of a widget's state while the kernel is busy with that widget, but they do not delay clicks.
A machine that is ticked right before a click on *Review* would reach the kernel after the click. Messages keep their
order.

Both sides may set the value at the same time: with each value the kernel sends how many messages it has received from
each page, and a page that has sent more since then ignores that value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget


class MessageWidget(anywidget.AnyWidget):
    """A widget whose value is in the trait that `answer` names.

    A page sends `{answer, by, n}`: its value, the id of its view, and the number of the message from that view.
    """

    answer = "value"

    def __init__(self, **values: Any) -> None:
        self._heard: dict[str, int] = {}
        self._listeners: list[Callable[[Any], None]] = []
        super().__init__(**values)
        self.on_msg(self._receive)
        self.observe(lambda _: self.send_answer(), self.answer)

    def _receive(self, widget: Any, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict) or "answer" not in content:
            return
        self._heard[str(content["by"])] = int(content["n"])
        if getattr(self, self.answer) == content["answer"]:
            self.send_answer()
        else:
            setattr(self, self.answer, content["answer"])
        for each in self._listeners:
            each(content["answer"])

    def on_answer(self, listener: Callable[[Any], None]) -> None:
        """Call `listener` with each value that a person sets, but not with those that the program sets."""
        self._listeners.append(listener)

    def send_answer(self) -> None:
        """Send the value to all pages."""
        self.send({"value": getattr(self, self.answer), "heard": dict(self._heard)})

    def _should_send_property(self, key: str, value: Any) -> bool:
        """Exclude the value: it travels as messages only, and a page that opens later finds it in the state."""
        return key != self.answer and bool(super()._should_send_property(key, value))
