"""`Spoken`: a widget whose answer travels as messages. `Answer`: a question of a form with its label and its note.

Front ends hold back changes of a widget's state as long as the kernel is busy with it, but not clicks: a machine that
is ticked, or a label whose last letter is typed, right before a click on *Review* would come after it. Messages keep
their order with clicks. Both sides may set the answer at the same time: the kernel tells with each answer how much it
has heard of each page, and a page that has said more since passes it over.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets


class Spoken(anywidget.AnyWidget):
    """A widget with an answer, in the trait that `answer` names. The page says `{answer, by, n}`, the nth of a view."""

    answer = "value"

    def __init__(self, **values: Any) -> None:
        self._heard: dict[str, int] = {}
        self._listeners: list[Callable[[Any], None]] = []
        super().__init__(**values)
        self.on_msg(self._said)
        self.observe(lambda _: self.tell(), self.answer)

    def _said(self, widget: Any, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict) or "answer" not in content:
            return
        self._heard[str(content["by"])] = int(content["n"])
        if getattr(self, self.answer) == content["answer"]:
            self.tell()
        else:
            setattr(self, self.answer, content["answer"])
        for each in self._listeners:
            each(content["answer"])

    def on_answer(self, told: Callable[[Any], None]) -> None:
        """`told` gets each answer that a person gives, and none that the program sets."""
        self._listeners.append(told)

    def tell(self) -> None:
        """Tell the pages what the answer is."""
        self.send({"value": getattr(self, self.answer), "heard": dict(self._heard)})

    def _should_send_property(self, key: str, value: Any) -> bool:
        """The answer is told by messages alone; a page that opens later finds it in the state."""
        return key != self.answer and bool(super()._should_send_property(key, value))


class Answer(Spoken):
    """A label, an input, and a line below for help or for what is wrong.

    `kind` is `text`, `area` (several lines), `choice` (of `options`), `suggest` (a text, `options` are proposals),
    `flag`, `rows` (a text that is only shown), or `secret`: what is typed there is a message and nothing else, the box
    empties itself, and no trait, which would be saved with a notebook in plain text, ever holds it.
    """

    _esm = Path(__file__).with_name("input_field.js")
    kind = traitlets.Unicode("text").tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    #: Pairs of a value and its text.
    options = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)
    value = traitlets.Union([traitlets.Unicode(), traitlets.Bool()], default_value="").tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    help = traitlets.Unicode("").tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)

    def on_secret(self, told: Callable[[str], None]) -> None:
        """`told` gets each secret that is typed; it is kept nowhere else."""

        def heard(widget: Any, content: Any, buffers: Any) -> None:
            if isinstance(content, dict) and isinstance(content.get("secret"), str):
                told(content["secret"])

        self.on_msg(heard)
