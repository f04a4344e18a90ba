"""Sums, differences, products and comparisons of small numbers, in words and in figures."""

from __future__ import annotations

import numpy as np

from .lexicon import ORDINALS, number_words
from .phrasing import Ask, chance, pick

LARGEST_OPERAND = 30
LARGEST_FACTOR = 10


def sentence(text: str) -> str:
    """Capital and full stop around a reply."""
    return text[0].upper() + text[1:] + "."


def written(n: int, rng: np.random.Generator, spoken: bool) -> str:
    """Figures half of the time, never in speech (where both are read the same)."""
    return number_words(n) if spoken or chance(rng, 0.5) else str(n)


def sum_reply(a: int, b: int) -> str:
    return sentence(f"{number_words(a)} plus {number_words(b)} is {number_words(a + b)}")


def difference_reply(a: int, b: int) -> str:
    return sentence(f"{number_words(a)} minus {number_words(b)} is {number_words(a - b)}")


def product_reply(a: int, b: int) -> str:
    return sentence(f"{number_words(a)} times {number_words(b)} is {number_words(a * b)}")


def operand(rng: np.random.Generator) -> int:
    """Small numbers more often: they are what people ask, and what larger ones build on."""
    return int(rng.integers(0, 11)) if chance(rng, 0.4) else int(rng.integers(0, LARGEST_OPERAND + 1))


def ask_sum(rng: np.random.Generator, spoken: bool) -> tuple[Ask, int]:
    """A sum and its value."""
    a, b = operand(rng), operand(rng)
    figures = not spoken and chance(rng, 0.5)
    x, y = (str(a), str(b)) if figures else (number_words(a), number_words(b))
    sentences = [
        f"What is {x} plus {y}?", f"How much is {x} plus {y}?", f"What does {x} plus {y} make?", f"Add {x} and {y}.",
        f"What is {x} and {y} together?", f"{x} plus {y}?", f"What do you get if you add {x} and {y}?",
        f"If you have {x} apples and get {y} more, how many do you have?", f"{x} plus {y} is what?",
        f"Take {x} and add {y}.", f"How much is {x} and {y}?", f"What do {x} and {y} make?",
        f"What is the result of {x} plus {y}?",
        f"What makes {x} plus {y}?", f"The sum of {x} and {y}?", f"Add {y} to {x}.", f"How many are {x} plus {y}?",
        f"How much do {x} and {y} make?", f"{x} and {y} makes what?",
    ]  # fmt: skip
    held_out = [
        f"What is the sum of {x} and {y}?",
        f"How much do {x} plus {y} make?",
        f"{x} plus {y} makes what?",
    ]
    if figures:
        sentences += [f"{a}+{b}", f"{a} + {b}", f"{a} + {b} = ?", f"What is {a} + {b}?", f"{a}+{b}=?"]
        held_out += [f"How much is {a} + {b}?", f"What is {a}+{b}?", f"What does {a} + {b} make?"]
    clauses = (f"what {x} plus {y} is", f"how much {x} plus {y} is", f"the sum of {x} and {y}")
    return Ask("sum", sum_reply(a, b), sentences, clauses, held_out), a + b


def ask_difference(rng: np.random.Generator, spoken: bool) -> tuple[Ask, int]:
    """A difference and its value; one in ten is negative."""
    a, b = operand(rng), operand(rng)
    if a < b and not chance(rng, 0.1):
        a, b = b, a
    figures = not spoken and chance(rng, 0.5)
    x, y = (str(a), str(b)) if figures else (number_words(a), number_words(b))
    sentences = [
        f"What is {x} minus {y}?", f"How much is {x} minus {y}?", f"What does {x} minus {y} make?",
        f"Take {y} away from {x}.", f"{x} minus {y}?", f"What is {x} less {y}?", f"{x} minus {y} is what?",
        f"What is left of {x} if you take away {y}?",
        f"If you have {x} apples and lose {y}, how many do you have?", f"What is the result of {x} minus {y}?",
        f"If you take {y} from {x}, what do you get?", f"How much is {x} if you take away {y}?",
        f"Subtract {y} from {x}.",
        f"Take {x} and take away {y}.", f"How many are {x} minus {y}?", f"What do you get from {x} minus {y}?",
        f"How much is left of {x} minus {y}?", f"How much makes {x} minus {y}?",
    ]  # fmt: skip
    held_out = [f"How much do {x} minus {y} make?", f"If you take {y} away from {x}, what is left?"]
    if figures:
        sentences += [f"{a}-{b}", f"{a} - {b}", f"{a} - {b} = ?", f"What is {a} - {b}?", f"{a}-{b}=?"]
        held_out += [f"How much is {a} - {b}?", f"What is {a}-{b}?"]
    clauses = (f"what {x} minus {y} is", f"how much {x} minus {y} is")
    return Ask("difference", difference_reply(a, b), sentences, clauses, held_out), a - b


def ask_product(rng: np.random.Generator, spoken: bool) -> tuple[Ask, int]:
    """A product of two factors up to ten, and its value."""
    a, b = (int(n) for n in rng.integers(0, LARGEST_FACTOR + 1, 2))
    figures = not spoken and chance(rng, 0.5)
    x, y = (str(a), str(b)) if figures else (number_words(a), number_words(b))
    sentences = [
        f"What is {x} times {y}?", f"How much is {x} times {y}?", f"What does {x} times {y} make?",
        f"{x} times {y}?", f"{x} times {y} is what?", f"What is the result of {x} times {y}?", f"Multiply {x} by {y}.",
        f"How many are {x} times {y}?", f"What do you get from {x} times {y}?", f"How much makes {x} times {y}?",
        f"What is {x} multiplied by {y}?",
    ]  # fmt: skip
    held_out = [f"How much do {x} times {y} make?", f"{x} times {y} makes what?"]
    if figures:
        sentences += [f"{a}*{b}", f"{a} * {b}", f"What is {a} * {b}?", f"{a} x {b}"]
        held_out += [f"How much is {a} * {b}?", f"What is {a} x {b}?"]
    clauses = (f"what {x} times {y} is", f"how much {x} times {y} is")
    return Ask("product", product_reply(a, b), sentences, clauses, held_out), a * b


def ask_comparison(rng: np.random.Generator, spoken: bool) -> Ask:
    """Which of two numbers is bigger or smaller."""
    a, b = (int(n) for n in rng.choice(LARGEST_OPERAND + 1, 2, replace=False))
    bigger = chance(rng, 0.5)
    word, other = ("bigger", "larger") if bigger else ("smaller", "less")
    x, y = written(a, rng, spoken), written(b, rng, spoken)
    winner = max(a, b) if bigger else min(a, b)
    reply = sentence(f"{number_words(winner)} is {word} than {number_words(a + b - winner)}")
    return Ask(
        "comparison",
        reply,
        (
            f"Which is {word}, {x} or {y}?",
            f"What is {word}, {x} or {y}?",
            f"Which number is {word}, {x} or {y}?",
            f"Which of the two is {word}, {x} or {y}?",
            f"Which of {x} and {y} is {word}?",
            f"Which number is {other}, {x} or {y}?",
            f"What is the {word} number, {x} or {y}?",
            f"Of {x} and {y}, which is {other}?",
            f"{x} or {y}, which is {other}?",
            f"{x} or {y}, which one is {word}?",
        ),
        (f"which is {word}, {x} or {y}",),
        (f"Which is {other}, {x} or {y}?" if bigger else f"Which one is {word}, {x} or {y}?",),
    )


def ask_neighbour(rng: np.random.Generator, spoken: bool) -> Ask:
    """The number before or after another."""
    n = int(rng.integers(1, LARGEST_OPERAND + 1))
    where = pick(rng, ("after", "before"))
    step = 1 if where == "after" else -1
    x = written(n, rng, spoken)
    reply = sentence(f"{number_words(n + step)} comes {where} {number_words(n)}")
    return Ask(
        "neighbour",
        reply,
        (
            f"Which number comes {where} {x}?",
            f"What comes {where} {x}?",
            f"What number is {where} {x}?",
            f"What is the number {where} {x}?",
            f"Name the number {where} {x}.",
            f"The number {where} {x}?",
            f"If you count, what comes {where} {x}?",
            f"Which is the number {where} {x}?",
        ),
        (f"which number comes {where} {x}", f"what comes {where} {x}"),
        (f"What number comes {where} {x}?", f"Which number is {where} {x}?"),
    )


def ask_parity(rng: np.random.Generator, spoken: bool) -> Ask:
    """Is a number odd or even."""
    n = int(rng.integers(0, LARGEST_OPERAND + 1))
    x = written(n, rng, spoken)
    reply = sentence(f"{number_words(n)} is {'odd' if n % 2 else 'even'}")
    return Ask(
        "parity",
        reply,
        (
            f"Is {x} odd or even?",
            f"Is {x} even or odd?",
            f"Is the number {x} odd or even?",
            f"{x}, is it odd or even?",
            f"What is {x}, odd or even?",
            f"What is {x}, even or odd?",
            f"Is {x} an even or an odd number?",
            f"Is {x} an odd number or an even one?",
        ),
        (f"if {x} is odd or even", f"if {x} is even or odd"),
        (f"Is the number {x} even or odd?",),
    )


def ordinal(n: int) -> str:
    return ORDINALS[n - 1]
