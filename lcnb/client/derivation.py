"""Derive the methods of a synchronous and an asynchronous client from methods that are written once.

A method is a generator: it yields the flows that it needs (`yield from wait_for(flow)`), and returns its result.
`@client_method` marks it. When a class that inherits from `SyncClient` or `AsyncClient` is created, each marked method
becomes a real function of this class, `def` or `async def`, with its own signature and the docstring of the original:
so `help`, `inspect.signature` and tab completion show what users call. Type checkers read the overloads of `__get__`.

The price: an editor that does not run the code shows the signature of a method, but not its docstring.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from lcnb.api.flows import Flow
from lcnb.secret import as_secret
from lcnb.transport.effects import Raised, Returned
from lcnb.transport.protocol import next_step
from lcnb.transport.sync import SyncWire

if TYPE_CHECKING:
    from lcnb.changes.apply import AsyncChangeSet, SyncChangeSet
    from lcnb.changes.build import BuiltChanges
    from lcnb.transport.aio import AsyncWire

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class FlowRun:
    """A flow that a client method needs. With `each_call` each call gets the whole timeout, not the flow."""

    flow: Flow[Any]
    each_call: bool = False


#: A client method while it runs: yields the flows that it needs, receives their results, returns its own.
Steps = Generator[FlowRun, Any, T]


def wait_for(flow: Flow[T], *, each_call: bool = False) -> Steps[T]:
    """Run a flow by the wire of the client, and return its result."""
    return (yield FlowRun(flow, each_call))  # type: ignore[no-any-return]


def _run_sync(wire: SyncWire, steps: Steps[T]) -> T:
    answer: Any = None
    try:
        while not isinstance(step := next_step(steps, answer), Returned):
            try:
                answer = wire.run(step.flow, each_call=step.each_call)
            except BaseException as error:  # an interrupt must reach the `with` blocks of the method
                answer = Raised(error)
        return step.result
    finally:
        answer = None  # an error that kept its own frames alive would keep connections open


async def _run_async(wire: AsyncWire, steps: Steps[T]) -> T:
    answer: Any = None
    try:
        while not isinstance(step := next_step(steps, answer), Returned):
            try:
                answer = await wire.run(step.flow, each_call=step.each_call)
            except BaseException as error:  # a cancellation must reach the `with` blocks of the method
                answer = Raised(error)
        return step.result
    finally:
        answer = None


class SyncClient:
    """Base of a client whose methods wait for their results."""

    _wire: SyncWire
    _change_set: ClassVar[str] = "SyncChangeSet"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for marked in _marked_methods(cls):
            marked.define(cls, _sync_function(marked))


class AsyncClient:
    """Base of a client whose methods are awaited."""

    _wire: AsyncWire
    _change_set: ClassVar[str] = "AsyncChangeSet"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for marked in _marked_methods(cls):
            marked.define(cls, _async_function(marked))


def _marked_methods(cls: type) -> list[_MarkedMethod]:
    """Return the marked methods that the class inherits and has no function for yet."""
    members = (inspect.getattr_static(cls, name) for name in dir(cls))
    return [member for member in members if isinstance(member, _MarkedMethod)]


def _sync_function(marked: _MarkedMethod) -> Callable[..., Any]:
    def method(self: SyncClient, *args: Any, **kwargs: Any) -> Any:
        _hide_password(kwargs)
        marked.check_arguments(self, *args, **kwargs)
        return _run_sync(self._wire, marked.steps(self, *args, **kwargs))

    return method


def _async_function(marked: _MarkedMethod) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def method(self: AsyncClient, *args: Any, **kwargs: Any) -> Any:
        _hide_password(kwargs)
        marked.check_arguments(self, *args, **kwargs)
        return await _run_async(self._wire, marked.steps(self, *args, **kwargs))

    return method


def _hide_password(arguments: dict[str, Any]) -> None:
    """Replace a password by a Secret: a traceback may print the arguments of each frame."""
    if "password" in arguments:
        arguments["password"] = as_secret(arguments["password"])


class _MarkedMethod:
    """A method that is written once. Classes of clients never see it: they hold the function that it defines."""

    def __init__(self, written: Callable[..., Any], steps: Callable[..., Steps[Any]]) -> None:
        self.steps = steps
        self._written = written
        self._signature = inspect.signature(written)
        # doctest finds the examples by the attributes that this copies.
        update_wrapper(self, written)  # type: ignore[arg-type]

    def define(self, owner: type[SyncClient | AsyncClient], function: Callable[..., Any]) -> None:
        """Set the function as a method of the class, with the signature and docstring that were written."""
        name = self._written.__name__
        update_wrapper(function, self._written)
        result = self.result_annotation(owner)
        function.__qualname__ = f"{owner.__qualname__}.{name}"
        function.__annotations__ = {**self._written.__annotations__, "return": result}
        signature = self._signature.replace(return_annotation=result)
        function.__signature__ = signature  # type: ignore[attr-defined]
        setattr(owner, name, function)

    def check_arguments(self, *args: Any, **kwargs: Any) -> None:
        """Raise TypeError for arguments that the method does not take; the message shows how to call it."""
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            taken = [each.replace(annotation=each.empty) for each in self._signature.parameters.values()][1:]
            call = f"{self._written.__name__}{inspect.Signature(taken)}"
            listed = " Pass several machines as a list." if taken and taken[0].name == "machines" else ""
            raise TypeError(f"{self._written.__name__}: {error}. It is called as {call}.{listed}") from None

    def result_annotation(self, owner: type[SyncClient | AsyncClient]) -> str:
        """Return the annotation of the result: `pd.DataFrame` for `Steps[pd.DataFrame]`."""
        return str(self._written.__annotations__["return"]).removeprefix("Steps[").removesuffix("]")


class ClientMethod(_MarkedMethod, Generic[P, T]):
    """A method that returns a value. Create it with `@client_method`."""

    @overload
    def __get__(self, instance: SyncClient, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: AsyncClient, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, instance: None, owner: type[SyncClient]) -> Callable[Concatenate[Any, P], T]: ...
    @overload
    def __get__(
        self, instance: None, owner: type[AsyncClient]
    ) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Self: ...
    def __get__(self, instance: object, owner: type) -> Any:
        """Return this object itself: only the class that the method was written in holds it."""
        return self


class ChangeMethod(_MarkedMethod, Generic[P]):
    """A method that returns a ChangeSet. Create it with `@change_method`."""

    @overload
    def __get__(self, instance: SyncClient, owner: type) -> Callable[P, SyncChangeSet]: ...
    @overload
    def __get__(
        self, instance: AsyncClient, owner: type
    ) -> Callable[P, Coroutine[Any, Any, AsyncChangeSet]]: ...
    @overload
    def __get__(
        self, instance: None, owner: type[SyncClient]
    ) -> Callable[Concatenate[Any, P], SyncChangeSet]: ...
    @overload
    def __get__(
        self, instance: None, owner: type[AsyncClient]
    ) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, AsyncChangeSet]]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Self: ...
    def __get__(self, instance: object, owner: type) -> Any:
        """Return this object itself: only the class that the method was written in holds it."""
        return self

    def result_annotation(self, owner: type[SyncClient | AsyncClient]) -> str:
        """Return the name of the class of ChangeSet that this client returns."""
        return owner._change_set


def client_method(steps: Callable[Concatenate[Any, P], Steps[T]]) -> ClientMethod[P, T]:
    """Mark a generator of steps as a method of both clients."""
    return ClientMethod(steps, steps)


def change_method(flow: Callable[Concatenate[Any, P], Flow[BuiltChanges]]) -> ChangeMethod[P]:
    """Mark a function that returns a flow of changes: both clients return these changes as a ChangeSet."""

    def steps(self: Any, *args: P.args, **kwargs: P.kwargs) -> Steps[Any]:
        return self._make_change_set((yield from wait_for(flow(self, *args, **kwargs))))

    return ChangeMethod(flow, steps)
