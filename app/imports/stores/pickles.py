"""Reads pickles as data. Nothing is imported and nothing is called.

The module `pickle` imports what a pickle names and calls what it says. This reader walks over the operations (pickletools has their list)
and keeps names and calls as records:

- A global is a Name. A call, a new object and its state are an Instance with the name of what would be called.
- Persistent ids, codes of copyreg and buffers from outside are refused: they mean something only inside the program that wrote them.
- A pickle may have LARGEST_BYTES and MOST_STEPS operations. Numbers have LARGEST_NUMBER_BITS, and keys of dicts are texts or small numbers.
  Deep or endless structures are refused where they become plain values (app.imports.stores.plain).
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

LARGEST_BYTES = 1_000_000
MOST_STEPS = 200_000
LONGEST_NAME = 200
LARGEST_NUMBER_BITS = 256
_LARGEST_KEY = 2**31
_REFUSED = {
    **dict.fromkeys(("PERSID", "BINPERSID"), "a persistent id, which only the program that wrote the pickle understands"),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), "a code of copyreg, which only the program that wrote the pickle understands"),
    **dict.fromkeys(("NEXT_BUFFER", "READONLY_BUFFER"), "a buffer outside the pickle"),
}
_GETATTR = frozenset({"builtins.getattr", "__builtin__.getattr"})  # how old protocols name what is inside a class
# How old protocols make an object: the class is the first argument.
_MAKERS = frozenset({"copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__", "copy_reg.__newobj__"})
_IGNORED = frozenset({"PROTO", "FRAME"})
_NUMBERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"})
_TEXTS = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"})
_VALUES = _NUMBERS | _TEXTS | _BYTES
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class PickleRefused(ValueError):
    """A pickle that is not read; the message says why."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global that a pickle names, such as `datetime.datetime`."""

    text: str


@dataclass(slots=True, eq=False)
class Instance:
    """What a pickle would call or make: the name, the arguments, the state that it would get, and what would be added to it."""

    name: str
    arguments: tuple[Any, ...] = ()
    keywords: dict[Any, Any] = field(default_factory=dict)
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)


def read_pickle(data: bytes) -> Any:
    """Returns what a pickle says: plain values, lists, tuples and dicts, with Name and Instance in place of everything else. Raises
    PickleRefused."""
    if len(data) > LARGEST_BYTES:
        raise PickleRefused(f"it has {len(data):,} bytes, and {LARGEST_BYTES:,} are possible")
    machine = _Machine()
    try:
        for steps, (operation, argument, _) in enumerate(pickletools.genops(data)):
            if steps > MOST_STEPS:
                raise PickleRefused(f"it has more than {MOST_STEPS:,} operations")
            if operation.name == "STOP":
                return machine.pop()
            machine.step(operation.name, argument)
    except PickleRefused:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise PickleRefused("it is damaged, or not a pickle") from error
    raise PickleRefused("it is damaged, or not a pickle")


class _Mark:
    """The place on the stack from which a group of values begins."""


class _Machine:
    """The stack and the memory of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self._operations: dict[str, Callable[[Any], object]] = dict(_operations(self))

    def step(self, name: str, argument: Any) -> None:
        """Does one operation. Raises PickleRefused."""
        if name in _IGNORED:
            return
        if isinstance(argument, int) and argument.bit_length() > LARGEST_NUMBER_BITS:
            raise PickleRefused(f"it contains a number with more than {LARGEST_NUMBER_BITS} bits")
        if name in _VALUES:
            self.stack.append(bytes(argument) if name == "BYTEARRAY8" else argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _REFUSED:
            raise PickleRefused(f"it contains {_REFUSED[name]}")
        elif name in self._operations:
            self._operations[name](argument)
        else:
            raise PickleRefused(f"it contains the operation {name}, which is not known")

    def pop(self) -> Any:
        """Takes a value from the stack."""
        value = self.stack.pop()
        if isinstance(value, _Mark):
            raise PickleRefused("it is damaged, or not a pickle")
        return value

    def group(self) -> list[Any]:
        """Takes the values after the last mark, and the mark."""
        values: list[Any] = []
        while not isinstance(value := self.stack.pop(), _Mark):
            values.append(value)
        values.reverse()
        return values

    def top(self) -> Any:
        """Returns the last value, which stays."""
        if isinstance(self.stack[-1], _Mark):
            raise PickleRefused("it is damaged, or not a pickle")
        return self.stack[-1]

    def append(self, values: list[Any]) -> None:
        """Adds values to the list or the object that is on top."""
        match self.top():
            case list() as values_so_far:
                values_so_far.extend(values)
            case Instance() as instance:
                instance.items.extend(values)
            case other:
                raise PickleRefused(f"it adds values to {_kind(other)}")

    def put(self, values: list[Any]) -> None:
        """Adds keys and values, in turns, to the dict or the object that is on top."""
        target = self.top()
        if len(values) % 2:
            raise PickleRefused("it has a key without a value")
        pairs = [(_key(values[place]), values[place + 1]) for place in range(0, len(values), 2)]
        if isinstance(target, dict):
            target.update(pairs)
        elif isinstance(target, Instance):
            target.pairs.extend(pairs)
        else:
            raise PickleRefused(f"it adds keys to {_kind(target)}")

    def make(self, what: Any, arguments: Any, keywords: Any = None) -> None:
        """Notes a call, or a new object."""
        if not isinstance(what, Name):
            raise PickleRefused(f"it calls {_kind(what)}")
        if what.text in _MAKERS and isinstance(arguments, tuple) and arguments and isinstance(arguments[0], Name):
            what, arguments = arguments[0], arguments[1:] if what.text.endswith("__") else ()
        if what.text in _GETATTR and isinstance(arguments, tuple) and [*map(type, arguments)] == [Name, str]:
            self.stack.append(_name(*(part.text if isinstance(part, Name) else part for part in arguments)))
            return
        if not isinstance(arguments, tuple) or not isinstance(keywords or {}, dict):
            raise PickleRefused(f"it calls {what.text} with {_kind(arguments)} in place of arguments")
        self.stack.append(Instance(what.text, arguments, dict(keywords or {})))

    def build(self) -> None:
        """Notes the state of an object."""
        state, target = self.pop(), self.top()
        if not isinstance(target, Instance):
            raise PickleRefused(f"it sets the state of {_kind(target)}")
        target.state = state


def _operations(machine: _Machine) -> Iterator[tuple[str, Callable[[Any], object]]]:
    """Yields what each operation does with the stack, given its argument."""
    push, pop, group, memory = machine.stack.append, machine.pop, machine.group, machine.memory
    yield "MARK", lambda _: push(_Mark())
    yield "POP", lambda _: machine.stack.pop()
    yield "POP_MARK", lambda _: group()
    yield "DUP", lambda _: push(machine.top())
    for name in ("EMPTY_LIST", "LIST"):
        yield name, (lambda _: push([])) if name.startswith("EMPTY") else (lambda _: push(group()))
    yield "EMPTY_TUPLE", lambda _: push(())
    yield "TUPLE", lambda _: push(tuple(group()))
    yield "TUPLE1", lambda _: push((pop(),))
    yield "TUPLE2", lambda _: push(tuple(reversed((pop(), pop()))))
    yield "TUPLE3", lambda _: push(tuple(reversed((pop(), pop(), pop()))))
    yield "EMPTY_DICT", lambda _: push({})
    yield "EMPTY_SET", lambda _: push(Instance("builtins.set"))
    yield "FROZENSET", lambda _: push(Instance("builtins.frozenset", items=group()))
    yield "APPEND", lambda _: machine.append([pop()])
    yield "APPENDS", lambda _: machine.append(group())
    yield "ADDITEMS", lambda _: machine.append(group())
    yield "SETITEM", lambda _: machine.put(list(reversed((pop(), pop()))))
    yield "SETITEMS", lambda _: machine.put(group())
    for name in ("PUT", "BINPUT", "LONG_BINPUT"):
        yield name, lambda place: memory.update({place: machine.top()})
    for name in ("GET", "BINGET", "LONG_BINGET"):
        yield name, lambda place: push(memory[place])
    yield "MEMOIZE", lambda _: memory.update({len(memory): machine.top()})
    yield "GLOBAL", lambda words: push(_name(*words.split(" ", 1)))
    yield "STACK_GLOBAL", lambda _: push(_name(*reversed((pop(), pop()))))
    yield from _makers(machine)


def _makers(machine: _Machine) -> Iterator[tuple[str, Callable[[Any], object]]]:
    """Yields the operations that would call something."""
    pop, group = machine.pop, machine.group

    def dictionary(_: Any) -> None:
        values = group()
        machine.stack.append({})
        machine.put(values)

    def instance(words: str) -> None:
        machine.make(_name(*words.split(" ", 1)), tuple(group()))

    def instance_of_top(_: Any) -> None:
        what, *arguments = group()
        machine.make(what, tuple(arguments))

    def new(_: Any) -> None:
        arguments, what = pop(), pop()
        machine.make(what, arguments)

    def new_with_keywords(_: Any) -> None:
        keywords, arguments, what = pop(), pop(), pop()
        machine.make(what, arguments, keywords)

    yield "DICT", dictionary
    yield "INST", instance
    yield "OBJ", instance_of_top
    yield "NEWOBJ", new
    yield "REDUCE", new
    yield "NEWOBJ_EX", new_with_keywords
    yield "BUILD", lambda _: machine.build()


def _name(module: Any, name: Any) -> Name:
    if not isinstance(module, str) or not isinstance(name, str):
        raise PickleRefused("it names a global by something that is not a text")
    text = "".join(char if char.isprintable() else "?" for char in f"{module}.{name}")
    if len(text) > LONGEST_NAME:
        raise PickleRefused(f"it names a global with more than {LONGEST_NAME} characters")
    return Name(text)


def _key(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | float) or (isinstance(value, int) and abs(value) < _LARGEST_KEY):
        return value
    raise PickleRefused(f"it has {_kind(value)} as a key")


def _kind(value: Any) -> str:
    match value:
        case Name(text):
            return text
        case Instance():
            return f"the result of {value.name}"
        case list() | tuple() | dict():
            return f"a {type(value).__name__}"
    return f"a value of the type {type(value).__name__}"
