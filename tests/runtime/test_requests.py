"""The keyword form of a request."""

from __future__ import annotations

import pytest

from muomni import InputError, SpeechOptions
from muomni.requests import as_request


def test_options_of_speech_stand_beside_it() -> None:
    with pytest.raises(InputError, match="speech: expected True or False"):
        as_request("Hello!", speech=SpeechOptions(frames=8))  # type: ignore[typeddict-item]
    made = as_request("Hello!", speech=True, speech_frames=8).speech
    assert made is not None and made.frames == 8
