"""Objects that several of OpenAI's interfaces share."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from muomni.models.tokenizer import Tokenizer
from muomni.replies import Reply, TokenLogprob


def new_id(prefix: str) -> str:
    """A fresh id, such as ``chatcmpl-…``."""
    return prefix + uuid.uuid4().hex


def usage_object(replies: Sequence[Reply]) -> dict[str, Any]:
    """``usage`` of a chat: the prompt counts once, however many replies it has.

    Frames of speech are completion tokens, and counted apart in the details.
    """
    usage = replies[0].usage
    text = sum(reply.usage.completion_tokens for reply in replies)
    frames = sum(0 if reply.speech is None else len(reply.speech.codes) for reply in replies)
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": text + frames,
        "total_tokens": usage.prompt_tokens + text + frames,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "audio_tokens": usage.audio_tokens,
            "image_tokens": usage.image_tokens,
            "text_tokens": usage.text_tokens,
        },
        "completion_tokens_details": {
            "audio_tokens": frames,
            "text_tokens": text,
            "reasoning_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def logprobs_object(logprobs: Sequence[TokenLogprob], tokenizer: Tokenizer) -> dict[str, Any]:
    """``logprobs`` of a choice; ids that stand for no text (the end) are left out."""
    return {
        "content": [
            {
                **_token(one.token_id, one.logprob, tokenizer),
                "top_logprobs": [_token(token, logprob, tokenizer) for token, logprob in one.top],
            }
            for one in logprobs
            if tokenizer.is_text(one.token_id)
        ],
        "refusal": None,
    }


def _token(token: int, logprob: float, tokenizer: Tokenizer) -> dict[str, Any]:
    data = tokenizer.bytes_of(token)
    # -9999 is what OpenAI says of what is all but impossible; JSON has no infinity.
    return {
        "token": data.decode(errors="replace"),
        "logprob": max(logprob, -9999.0),
        "bytes": list(data),
    }
