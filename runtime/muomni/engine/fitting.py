"""A prompt into the positions that are free in the context, and the notes of a reply that it was too small for."""

from __future__ import annotations

from dataclasses import replace

from muomni.errors import ContextError

from .prompt import Prompt


def fit(prompt: Prompt, free: int, max_new_tokens: int, truncate: bool) -> Prompt:
    """The prompt, if it leaves one of ``free`` positions for the reply.

    With ``truncate`` a longer one is shortened, to leave ``max_new_tokens`` of them (at most half) for the reply.

    Raises:
        ContextError: it does not fit; with numbers.
    """
    room = max(free - 1, 0)
    notes = list(prompt.notes)
    if truncate:
        before, size = prompt.before, len(prompt)
        while before and size + max_new_tokens > free:
            size -= len(before[0])
            before = before[1:]
        if forgotten := len(prompt.before) - len(before):
            notes.append(forgotten_turns(forgotten))
            prompt = replace(prompt, before=before)
    if len(prompt) <= room:
        return replace(prompt, notes=notes)
    reserve = min(max_new_tokens, room // 2)
    text = len(prompt.ids) - 1
    others = len(prompt) - text - 1
    kept = room - reserve - others - 1
    if not truncate or kept < 1:
        raise ContextError(
            f"the prompt takes {len(prompt)} positions ({prompt.media_tokens} of media, 1 bos, {text} of text"
            + (f", {others - prompt.media_tokens} of earlier turns" if prompt.before else "")
            + f") and {room} are free in the context; shorten it, or allow it with --truncate (truncate=True), which "
            "keeps the end of the text"
        )
    notes.append(f"the text was shortened to its last {kept} of {text} tokens to fit the context")
    return replace(prompt, ids=[prompt.ids[0], *prompt.ids[-kept:]], notes=notes)


def forgotten_turns(count: int) -> str:
    """The note of a reply that turns were forgotten for."""
    what = "the oldest turn was" if count == 1 else f"the {count} oldest turns were"
    return f"{what} forgotten to make room in the context"


def context_is_full(tokens: int) -> str:
    """The note of a reply that the context ended."""
    return f"the reply ended after {tokens} tokens because the context is full"
