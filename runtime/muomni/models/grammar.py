"""What a reply may look like: a JSON schema, a regular expression or a Lark grammar, enforced id by id.

llguidance keeps the parser; here is how a bundle's tokenizer and its ids meet it.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from muomni.errors import InputError, MissingPackageError

from .tokenizer import Tokenizer

CANNOT_WRITE = (
    "grammar: the model's tokenizer cannot write what comes next (it lacks a character, or a rule has no end)"
)
COMPILED_KEPT = 32
"""Grammars that are kept ready; several choices and clients ask for the same."""
# Forced text as one fixed row of ids would need an encoder that is exact to the byte, which SentencePiece is not.
HEADER = '%llguidance {"no_forcing": true}\n'
# At most one space between tokens of JSON: a weak model would write spaces until its reply is cut.
JSON_OPTIONS = {"whitespace_pattern": "[ ]?", "lenient": False}


@dataclass(frozen=True)
class Grammar:
    """The form of a reply; make one with :meth:`json_schema`, :meth:`json_object`, :meth:`regex` or :meth:`lark`.

    Attributes:
        kind: of the source.
        source: a JSON schema as JSON, a regular expression (Rust's syntax), or a grammar as Lark writes it.

    Example:
        >>> omni.generate("Hello!", grammar=muomni.Grammar.regex("yes|no")).text in ("yes", "no")
        True
    """

    kind: Literal["json_schema", "regex", "lark"]
    source: str

    def __post_init__(self) -> None:
        if self.kind not in ("json_schema", "regex", "lark"):
            raise InputError(f"grammar: expected json_schema, regex or lark, got {self.kind!r}")
        if not isinstance(self.source, str):
            raise InputError(f"grammar: expected its source as text, got {type(self.source).__name__}")

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any]) -> Grammar:
        """JSON that follows a schema (a model's ``model_json_schema()``, for example); properties in its order.

        Raises:
            InputError: it is no JSON object, or holds a whole number beyond 2**53, which is not enforced to the digit.
        """
        if not isinstance(schema, Mapping):
            raise InputError(f"grammar: expected a JSON schema as an object, got {type(schema).__name__}")
        try:
            source = json.dumps({**schema, "x-guidance": JSON_OPTIONS})
            json.loads(source, parse_int=_exact)
            return cls("json_schema", source)
        except InputError:
            raise
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"grammar: the schema is not JSON ({error})") from error

    @classmethod
    def json_object(cls) -> Grammar:
        """Any JSON object."""
        return cls.json_schema({"type": "object"})

    @classmethod
    def regex(cls, pattern: str) -> Grammar:
        """Text that a regular expression matches as a whole."""
        return cls("regex", pattern)

    @classmethod
    def lark(cls, source: str) -> Grammar:
        """Text of a grammar; its rule ``start`` is the whole."""
        return cls("lark", source)


class Constraint:
    """Where one reply is in its grammar. Make one with :meth:`Grammars.start`.

    Example:
        >>> constraint = grammars.start(Grammar.regex("yes|no"))
        >>> token = int(constraint.masked(logits).argmax())
        >>> constraint.take(token)
    """

    def __init__(self, matcher: Any, grammars: Grammars) -> None:
        self._matcher, self._grammars = matcher, grammars
        self._at_start, self._may_be_silent = True, True

    def masked(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """A copy of the logits (V,) in which ids that the grammar does not allow next are minus infinity.

        Raises:
            InputError: nothing that the tokenizer can write goes on, or the grammar became too large.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            error = _first_line(self._matcher.get_error())
            raise InputError(CANNOT_WRITE if error.startswith("NoExtension") else f"grammar: {error}")
        allowed = np.unpackbits(bits, bitorder="little").view(bool)
        grammars = self._grammars
        allowed = allowed[grammars.at_start] if self._at_start else allowed[: len(grammars.at_start)]
        if self._at_start and self._may_be_silent:
            allowed[grammars.silent] = True
        allowed = allowed[: logits.size]
        if not allowed.any():
            raise InputError(CANNOT_WRITE)
        masked = np.full_like(logits, -np.inf)
        np.copyto(masked[: allowed.size], logits[: allowed.size], where=allowed)
        return masked

    def take(self, token: int) -> None:
        """Go on by an id that was allowed."""
        grammars = self._grammars
        if token == grammars.eos_id:
            return  # nothing comes after it, and measurements that go on past it get it again
        if self._at_start and token in grammars.silent:
            self._at_start, self._may_be_silent = grammars.strips_again, False
            return
        self._matcher.consume_token(int(grammars.at_start[token]) if self._at_start else token)
        self._at_start = False


class Grammars:
    """A tokenizer's ids as llguidance knows them, and the grammars that were asked for lately. Threads may share it.

    SentencePiece drops the space with which a text begins. So each piece that begins with one is there twice: as
    it is, and as what it writes at the beginning.

    Attributes:
        at_start: of each id (P,), the number by which llguidance knows it at the beginning.
        silent: ids that write nothing at the beginning, but something later: a lone space.
        strips_again: whether the beginning goes on after a silent one.

    Raises (when made):
        MissingPackageError: llguidance is not installed.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        try:
            import llguidance
        except ImportError as error:
            raise MissingPackageError(
                'a reply that follows a grammar needs llguidance; install it with\n  pip install "muomni[grammar]"'
            ) from error
        self._library = llguidance
        self.eos_id = tokenizer.eos_id
        tokens = [b"" if i == tokenizer.unk_id else tokenizer.bytes_of(i) for i in range(tokenizer.pieces)]
        self.at_start: NDArray[np.int64] = np.arange(len(tokens))
        silent, other = [], -1
        for i in [i for i, data in enumerate(tokens) if data.startswith(b" ")]:
            if (data := tokenizer.decode([i]).encode()) == tokens[i]:
                continue
            if data:
                other = i
                self.at_start[i] = len(tokens)
                tokens.append(data)
            else:
                silent.append(i)
        self.silent = np.array(silent, dtype=np.int64)
        self.strips_again = (
            bool(silent) and other >= 0 and tokenizer.decode([silent[0], other]) == tokenizer.decode([other])
        )
        for i in silent:
            self.at_start[i] = len(tokens)  # a number that no grammar allows
        tokens.append(b"")
        self._tokenizer = llguidance.LLTokenizer(_Vocabulary(tokens, tokenizer.eos_id))  # type: ignore[arg-type]
        self._compiled: OrderedDict[Grammar, Any] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, grammar: Grammar) -> Any:
        """Make a grammar ready.

        Raises:
            InputError: it is none, or has parts that cannot be enforced; the message names them.
        """
        with self._lock:
            if (made := self._compiled.get(grammar)) is not None:
                self._compiled.move_to_end(grammar)
                return made
        made = self._library.LLMatcher(self._tokenizer, self._source(grammar), log_level=0)
        if made.is_error():
            raise InputError(
                f"grammar: not a {grammar.kind} that can be enforced: {_first_line(made.get_error())}"
            )
        with self._lock:
            self._compiled[grammar] = made
            while len(self._compiled) > COMPILED_KEPT:
                self._compiled.popitem(last=False)
        return made

    def start(self, grammar: Grammar) -> Constraint:
        """The beginning of a reply."""
        made = self.compile(grammar)
        with self._lock:
            return Constraint(made.deep_copy(), self)

    def _source(self, grammar: Grammar) -> str:
        if grammar.kind == "json_schema":
            return f"{HEADER}start: %json {grammar.source}"
        if grammar.kind == "regex":
            made = json.loads(self._library.LLMatcher.grammar_from_regex(grammar.source))
            return f"{HEADER}{made['grammars'][0]['lark_grammar']}"
        if "%llguidance" in grammar.source:
            raise InputError("grammar: leave out %llguidance; its options are set here")
        return HEADER + grammar.source


class _Vocabulary:
    """What llguidance reads of a tokenizer."""

    is_tokenizer_wrapper = True
    bos_token_id = None
    special_token_ids: tuple[int, ...] = ()

    def __init__(self, tokens: list[bytes], eos_id: int) -> None:
        self.tokens, self.eos_token_id = tokens, eos_id

    def __call__(self, text: str) -> list[int]:
        return []  # asked of forced text alone, see HEADER


def _exact(digits: str) -> None:
    if abs(int(digits)) > 2**53:
        raise InputError(f"grammar: expected whole numbers up to 2**53 in a schema, got {digits[:40]}")


def _first_line(message: str) -> str:
    """Of several lines the first that is not an excerpt of the grammar."""
    return message.strip().split("\n", 1)[0][:500]
