"""A conversation: turns in one context, each appended to the key/value cache of those before."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Unpack

import numpy as np

from muomni.errors import ContextError, InputError, OutputError, UsageError
from muomni.models.registry import Models
from muomni.replies import Reply
from muomni.requests import Request, RequestOptions, as_request

from .engine import Engine
from .fitting import fit, forgotten_turns
from .memory import Memory, PastTurn, from_file, to_arrays, with_room_for
from .prompt import Prompt, prepare
from .segments import joined
from .sequence import Sequence
from .stream import OnText, Stream
from .timings import Timings

if TYPE_CHECKING:
    from .playback import OnAudio


class Chats(Protocol):
    """Whoever makes conversations."""

    def chat(self) -> Conversation: ...


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
        self._memory = Memory()
        self._busy = threading.Lock()

    @property
    def positions(self) -> int:
        """Positions of the context in use."""
        return self._memory.positions

    @property
    def turns(self) -> int:
        """How many turns are remembered."""
        return len(self._memory.turns)

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
            self._memory = Memory()

    def fork(self) -> Conversation:
        """Another conversation that remembers the same; the two go on independently.

        Raises:
            UsageError: a turn is being taken.

        Example:
            >>> other = chat.fork()
        """
        with self._alone():
            other = Conversation(self._models)
            cache = self._memory.cache
            if cache is not None:
                self._rewind(self._memory)
                cache = cache.taken([0])
            other._memory = replace(self._memory, cache=cache)
        return other

    def keep_only(self, tokens: int) -> None:
        """Shorten the last reply to its first ``tokens`` ids: what was heard of it before it was interrupted.

        Raises:
            InputError: there is no turn, or its reply has fewer ids.
            UsageError: a turn is being taken.
        """
        with self._alone():
            turns = self._memory.turns
            if not turns:
                raise InputError("there is no turn whose reply could be shortened")
            made = len(turns[-1].reply_ids)
            if not 1 <= tokens <= made:
                raise InputError(f"tokens: expected 1 to {made} (the last reply's), got {tokens}")
            last = replace(turns[-1], reply_ids=turns[-1].reply_ids[:tokens])
            self._memory = replace(self._memory, turns=(*turns[:-1], last))

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
            arrays = to_arrays(self._memory, self._graph_sha256())
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
        conversation._memory = from_file(Path(path), conversation._models, conversation._graph_sha256())
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
        if request.history and self._memory.turns:
            raise InputError(
                "history: this conversation has turns of its own; give it to the first, or to generate, stream or "
                "generate_batch"
            )
        self._take()
        return ConversationTurn(self, request)

    def _stream(self, request: Request, stream_text: bool) -> Stream:
        return Stream(Engine(self._models), self.turn(request), stream_text)

    @staticmethod
    def _rewind(state: Memory) -> None:
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
        self._conversation, self._before = conversation, conversation._memory
        self._kept = Memory()
        self._prompt: Prompt | None = None
        self._timings = Timings()

    def prepare(self) -> None:
        """Encode the request, and decide which turns are forgotten for it; nothing is changed yet."""
        request, models = self.request, self._conversation._models
        prompt = prepare(request, models, self._timings)
        context = models.thinker().stage.context_length
        before = self._before
        if prompt.before:
            before = Memory(tuple(PastTurn(t.prompt.media, t.prompt.ids, t.reply_ids) for t in prompt.before))
            prompt = replace(prompt, before=[])
        needed = len(prompt) + request.max_new_tokens
        kept = with_room_for(before, needed, context, request.truncate)
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
        turn = PastTurn(self._prompt.media, self._prompt.ids, list(reply.token_ids))
        self._conversation._memory = replace(self._kept, turns=(*self._kept.turns, turn))

    def release(self) -> None:
        """Another turn may be taken."""
        self._conversation._busy.release()
