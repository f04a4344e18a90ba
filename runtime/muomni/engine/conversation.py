"""A conversation: turns in one context, each appended to the key/value cache of those before."""

from __future__ import annotations

import json
import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from muomni.errors import ContextError, InputError, OutputError, UsageError
from muomni.models.registry import Models
from muomni.ort.kv_cache import KVCache
from muomni.replies import Reply
from muomni.requests import Request, RequestOptions, as_request

from .engine import Engine
from .prompt import Prompt, fit, forgotten_turns, prepare
from .segments import Segment, joined
from .sequence import Sequence
from .stream import OnText, Stream
from .timings import Timings

if TYPE_CHECKING:
    from .playback import OnAudio

SAVED_FORMAT = 1


class Chats(Protocol):
    """Whoever makes conversations."""

    def chat(self) -> Conversation: ...


@dataclass(frozen=True)
class _Turn:
    media: NDArray[np.float32] | None
    ids: list[int]
    reply_ids: list[int]

    @property
    def segments(self) -> list[Segment]:
        ids = [*self.ids, *self.reply_ids]
        return [ids] if self.media is None else [self.media, ids]

    def __len__(self) -> int:
        return sum(map(len, self.segments))


@dataclass(frozen=True)
class _State:
    """What is remembered; a turn makes a new one and nothing is changed in place.

    The last id of the last reply was generated and not fed: it is computed with the next turn. So the cache has
    the positions of all turns but one, and whatever comes after them in it is of a turn that did not succeed.
    """

    turns: tuple[_Turn, ...] = ()
    cache: KVCache | None = None

    @property
    def positions(self) -> int:
        return sum(map(len, self.turns))

    @property
    def pending(self) -> list[int]:
        return self.turns[-1].reply_ids[-1:] if self.turns else []


class Conversation:
    """Turns that remember each other. Make one with :meth:`muomni.Omni.chat`; it belongs to one thread at a time.

    Every turn is laid out as ``[media] [bos] [text]`` and followed by the reply's ids, eos included. A turn
    that fails, is cancelled or interrupted leaves the conversation as it was before it.

    Example:
        >>> chat = omni.chat()
        >>> chat.say("My name is Ada.")
        >>> chat.say("What is my name?").text
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._state = _State()
        self._busy = threading.Lock()

    @property
    def positions(self) -> int:
        """Positions of the context in use."""
        return self._state.positions

    @property
    def turns(self) -> int:
        """How many turns are remembered."""
        return len(self._state.turns)

    def say(
        self,
        request: Request | str | None = None,
        *,
        on_text: OnText | None = None,
        on_audio: OnAudio | None = None,
        **options: Unpack[RequestOptions],
    ) -> Reply:
        """Take one turn. See :meth:`muomni.Omni.generate` for the arguments and errors.

        With ``truncate``, the oldest turns are forgotten when the context is full.

        Raises:
            UsageError: a turn is being taken already, by another thread or around this call.
        """
        wanted = as_request(request, **options)
        with self._stream(wanted, stream_text=on_text is not None) as stream:
            return stream.drain(on_text, on_audio)

    def stream(self, request: Request | str | None = None, **options: Unpack[RequestOptions]) -> Stream:
        """Take one turn as an iterator of events; it is remembered when :class:`muomni.Finished` has come.

        Raises:
            InputError: an unusable argument.
            UsageError: a turn is being taken already.

        Example:
            >>> with chat.stream("Tell me more.") as events:
            ...     for event in events:
            ...         print(event)
        """
        return self._stream(as_request(request, **options), stream_text=True)

    def reset(self) -> None:
        """Forget all turns.

        Raises:
            UsageError: a turn is being taken.
        """
        with self._alone():
            self._state = _State()

    def fork(self) -> Conversation:
        """Another conversation that remembers the same; the two go on independently.

        Raises:
            UsageError: a turn is being taken.

        Example:
            >>> other = chat.fork()
        """
        with self._alone():
            other = Conversation(self._models)
            cache = self._state.cache
            if cache is not None:
                self._rewind(self._state)
                cache = cache.taken([0])
            other._state = replace(self._state, cache=cache)
        return other

    def keep_only(self, tokens: int) -> None:
        """Shorten the last reply to its first ``tokens`` ids: what was heard of it before it was interrupted.

        Raises:
            InputError: there is no turn, or its reply has fewer ids.
            UsageError: a turn is being taken.
        """
        with self._alone():
            turns = self._state.turns
            if not turns:
                raise InputError("there is no turn whose reply could be shortened")
            made = len(turns[-1].reply_ids)
            if not 1 <= tokens <= made:
                raise InputError(f"tokens: expected 1 to {made} (the last reply's), got {tokens}")
            last = replace(turns[-1], reply_ids=turns[-1].reply_ids[:tokens])
            self._state = replace(self._state, turns=(*turns[:-1], last))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what is remembered to a ``.npz`` file, keys and values included.

        Raises:
            OutputError: it cannot be written; a file that is there stays.
            UsageError: a turn is being taken.

        Example:
            >>> chat.save("ada.npz")
            >>> chat = muomni.Conversation.load("ada.npz", omni)
        """
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with self._alone():
            arrays = _to_arrays(self._state, self._graph_sha256())
            try:
                with temporary.open("wb") as file:
                    np.savez(file, **arrays)  # type: ignore[arg-type]
                temporary.replace(target)
            except OSError as error:
                temporary.unlink(missing_ok=True)
                raise OutputError(f"{target}: could not be written ({error.strerror or error})") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str], omni: Chats) -> Conversation:
        """A conversation that was saved, to go on with.

        Args:
            omni: the :class:`muomni.Omni` of the same bundle.

        Raises:
            InputError: the file cannot be read, is something else, or belongs to another model.
        """
        conversation = omni.chat()
        conversation._state = _from_file(Path(path), conversation._models, conversation._graph_sha256())
        return conversation

    def _graph_sha256(self) -> str:
        manifest = self._models.manifest
        return manifest.files[manifest.graphs[self._models.thinker().stage.graph].file].sha256

    def turn(self, request: Request) -> ConversationTurn:
        """A turn for an engine of your own; it must be released, whatever becomes of it.

        A request that brings a history may be the first of a conversation; its turns are then remembered with it.

        Raises:
            InputError: the request brings a history, and there are turns already.
            UsageError: a turn is being taken already.
        """
        if request.history and self._state.turns:
            raise InputError(
                "history: this conversation has turns of its own; give it to the first, or to generate, stream or "
                "generate_batch"
            )
        self._take()
        return ConversationTurn(self, request)

    def _stream(self, request: Request, stream_text: bool) -> Stream:
        return Stream(Engine(self._models), self.turn(request), stream_text)

    @staticmethod
    def _rewind(state: _State) -> None:
        """Forget what a turn that did not succeed left in the cache."""
        assert state.cache is not None
        state.cache.rewind(state.positions - len(state.pending))

    def _take(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise UsageError(
                "a turn of this conversation is being taken already; a conversation belongs to one thread at a time "
                "and takes no turn from inside a callback: finish or close the turn, or use another conversation"
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No turn is taken meanwhile."""
        self._take()
        try:
            yield
        finally:
            self._busy.release()


class ConversationTurn:
    """A turn that is being taken; see :class:`muomni.engine.turn.Turn`."""

    def __init__(self, conversation: Conversation, request: Request) -> None:
        self.request = request
        self._conversation, self._before = conversation, conversation._state
        self._kept = _State()
        self._prompt: Prompt | None = None
        self._timings = Timings()

    def prepare(self) -> None:
        """Encode the request, and decide which turns are forgotten for it; nothing is changed yet."""
        request, models = self.request, self._conversation._models
        prompt = prepare(request, models, self._timings)
        context = models.thinker().stage.context_length
        before = self._before
        if prompt.before:
            before = _State(tuple(_Turn(t.prompt.media, t.prompt.ids, t.reply_ids) for t in prompt.before))
            prompt = replace(prompt, before=[])
        needed = len(prompt) + request.max_new_tokens
        kept = _room_for(before, needed, context, request.truncate)
        try:
            prompt = fit(prompt, context - kept.positions, request.max_new_tokens, request.truncate)
        except ContextError as error:
            if not kept.turns:
                raise
            raise ContextError(
                f"the conversation fills {kept.positions} of {context} positions of the context: {error}; "
                "or start anew with reset"
            ) from None
        if forgotten := len(before.turns) - len(kept.turns):
            prompt.notes.append(forgotten_turns(forgotten))
        self._prompt, self._kept = prompt, kept

    def join(self, engine: Engine, stream_text: bool) -> Sequence:
        """Be answered by an engine from its next step on."""
        prompt, kept, models = self._prompt, self._kept, self._conversation._models
        assert prompt is not None, "a turn is prepared before it joins"
        cache = kept.cache
        if cache is None:
            segments = joined([*(s for t in kept.turns for s in t.segments), *prompt.segments])
            room = sum(map(len, segments)) + self.request.max_new_tokens
            thinker = models.thinker()
            cache = thinker.start(min(room, thinker.stage.context_length))
        else:
            self._conversation._rewind(kept)
            segments = joined([kept.pending, *prompt.segments])
        self._kept = replace(kept, cache=cache)
        return engine.add(
            self.request,
            prompt=prompt,
            segments=segments,
            cache=cache,
            timings=self._timings,
            stream_text=stream_text,
        )

    def remember(self, reply: Reply) -> None:
        """The turn has succeeded."""
        assert self._prompt is not None
        turn = _Turn(self._prompt.media, self._prompt.ids, list(reply.token_ids))
        self._conversation._state = replace(self._kept, turns=(*self._kept.turns, turn))

    def release(self) -> None:
        """Another turn may be taken."""
        self._conversation._busy.release()


def _room_for(state: _State, needed: int, context: int, truncate: bool) -> _State:
    """The state with as many of the oldest turns forgotten as it takes; nothing is computed yet."""
    turns = state.turns
    if truncate:
        while turns and needed > context - sum(map(len, turns)):
            turns = turns[1:]
    return state if len(turns) == len(state.turns) else _State(turns)


def _to_arrays(state: _State, graph_sha256: str) -> dict[str, NDArray[Any]]:
    header = {
        "format": SAVED_FORMAT,
        "thinker_sha256": graph_sha256,
        "turns": [{"ids": turn.ids, "reply_ids": turn.reply_ids} for turn in state.turns],
    }
    arrays: dict[str, NDArray[Any]] = {"conversation": np.array(json.dumps(header))}
    for index, turn in enumerate(state.turns):
        if turn.media is not None:
            arrays[f"media_{index}"] = turn.media
    if state.cache is not None:
        valid = state.positions - len(state.pending)
        for index, values in enumerate(state.cache.read(0, valid)):
            arrays[f"cache_{index}"] = values
    return arrays


def _from_file(path: Path, models: Models, graph_sha256: str) -> _State:
    """Read what :meth:`Conversation.save` wrote.

    Raises:
        InputError: the file cannot be read, is something else, or belongs to another model.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(str(arrays["conversation"]))
        saved_by, format_ = header["thinker_sha256"], header["format"]
        turns = tuple(
            _Turn(arrays.get(f"media_{i}"), [int(k) for k in t["ids"]], [int(k) for k in t["reply_ids"]])
            for i, t in enumerate(header["turns"])
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a saved conversation ({error})") from error
    if format_ != SAVED_FORMAT:
        raise InputError(f"{path}: a conversation of format {format_}, this muomni reads {SAVED_FORMAT}")
    if saved_by != graph_sha256:
        raise InputError(
            f"{path}: this conversation was had with another model; load it with the bundle it is of"
        )
    if not turns:
        return _State()
    state = _State(turns)
    valid = state.positions - len(state.pending)
    cache = models.thinker().start(valid)
    values = [arrays[f"cache_{i}"] for i in range(cache.shape.tensors) if f"cache_{i}" in arrays]
    shape = (cache.shape.kv_heads, valid, cache.shape.head_size)
    if len(values) != cache.shape.tensors or any(value.shape != shape for value in values):
        raise InputError(f"{path}: the keys and values do not fit the turns; the file is damaged")
    cache.write(0, values, valid)
    return _State(turns, cache)
