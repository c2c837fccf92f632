"""JSON as text that is odd or broken: values that parsers disagree about, documents with damage, answers of models."""

# ruff: noqa: E501 - tables of odd texts are read across

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

_ODD_VALUES = (
    "null", "true", "false", "0", "-0", "-1", "1", "0.5", "1e3", "1e999", "-1e999", "1e-999", "NaN", "Infinity", "-Infinity",
    "9" * 30, "9" * 400, "9" * 5000, "-" + "9" * 400, '""', '" "', '"a"', '"\\u0000"', '"\\ud800"', '"\\ude00\\ud83d"', '"😀"',
    '"' + "x" * 20_000 + '"', "[]", "{}", "[[]]", "[null]", '{"": ""}', "[" * 50 + "]" * 50, "[" * 3000 + "]" * 3000,
    '{"a":' * 3000 + "1" + "}" * 3000, "[" * 100_000, '"', "'a'", "undefined", "01", ".5", "1.", "0x1", "[1,]", '{"a":1,}',
    "\ud800", "", "[" + "0," * 5000 + "0]", '"\x01"', "[0, [1, [2, [3]]]]", '{"a": 1, "a": 2}',
)  # fmt: skip


def value(dice: random.Random) -> str:
    """The text of a value, often none that JSON allows."""
    return dice.choice(_ODD_VALUES)


def document(members: dict[str, str], dice: random.Random) -> bytes:
    """An object of these members as bytes, now and then damaged."""
    pairs = [f'"{name}": {text}' for name, text in members.items()]
    if dice.random() < 0.15:
        pairs.append(f'"{dice.choice(("more", *members))}": {value(dice)}')
    text = "{" + ", ".join(pairs) + "}"
    data = text.encode("utf-8", "surrogatepass")
    choice = dice.random()
    if choice < 0.75:
        return data
    if choice < 0.85:
        return flipped(data, dice)
    damages: tuple[Callable[[], bytes], ...] = (
        lambda: data[: dice.randrange(len(data))],
        lambda: text.encode("utf-16", "surrogatepass"),
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data + b"{}",
        lambda: b"[" + data + b"]",
        lambda: data.replace(b'"', b"'"),
        lambda: b" " * 100_000 + data,
        lambda: b"",
    )
    return dice.choice(damages)()


def flipped(data: bytes, dice: random.Random) -> bytes:
    """With a few bytes changed, cut out or put in."""
    changed = bytearray(data or b"\0")
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        at = dice.randrange(len(changed) or 1)
        action = dice.randrange(3)
        if action == 0 and changed:
            changed[at % len(changed)] = dice.choice((0, 10, 13, 34, 44, 58, 91, 255, dice.randrange(256)))
        elif action == 1:
            del changed[at : at + dice.choice((1, 2, 30))]
        else:
            changed[at:at] = dice.choice((b"\0", b"\r\n", b'"', b"\xff", b"{", b"9", dice.randbytes(3)))
    return bytes(changed)


def mutated_answer(base: Any, dice: random.Random) -> bytes:
    """An answer of a model with one to three of its values replaced, and now and then damaged text."""
    slots: list[str] = []
    tree = json.loads(json.dumps(base))
    for _ in range(dice.choice((0, 0, 1, 1, 1, 2, 3))):
        _replace(tree, dice, slots)
    text = json.dumps(tree, ensure_ascii=dice.random() < 0.8)
    for number, slot in enumerate(slots):
        text = text.replace(f'"slot {number}"', slot)
    data = text.encode("utf-8", "surrogatepass")
    choice = dice.random()
    if choice < 0.7:
        return data
    if choice < 0.85:
        return flipped(data, dice)
    return dice.choice((data[: dice.randrange(len(data))], data + data, b"[" + data + b"]", b"", dice.randbytes(50)))


def _replace(tree: Any, dice: random.Random, slots: list[str]) -> None:
    """Walks down a random way and changes what it ends at: another value, none, twice, or more of it."""
    while True:
        keys: list[Any] = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = dice.choice(keys)
        if not isinstance(tree[key], (dict, list)) or dice.random() < 0.25:
            break
        tree = tree[key]
    action = dice.random()
    if action < 0.6:
        slots.append(value(dice))
        tree[key] = f"slot {len(slots) - 1}"
    elif action < 0.75:
        del tree[key]
    elif action < 0.9 and isinstance(tree, list):
        tree.insert(dice.randrange(len(tree) + 1), tree[key])
    else:
        tree[key] = dice.choice((-5, 0, 1, 10**6, 0.1, 2.0, "x", True, [tree[key]], {"a": tree[key]}))
