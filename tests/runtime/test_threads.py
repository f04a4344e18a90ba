"""Thread counts: argument, environment, machine."""

from __future__ import annotations

import pytest

from muomni.errors import InputError
from muomni.threads import ENVIRONMENT_VARIABLE, available_cores, thread_count


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "3")
    assert thread_count(2) == 2
    assert thread_count() == 3
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    assert thread_count() == available_cores() >= 1


@pytest.mark.parametrize("text", ["0", "-1", "many", ""])
def test_a_wrong_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, text)
    with pytest.raises(InputError, match=r"(?i)threads"):
        thread_count()
