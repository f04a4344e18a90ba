"""Thread counts: argument, environment, machine."""

from __future__ import annotations

import pytest

from muomni.errors import InputError
from muomni.threads import (
    ENVIRONMENT_VARIABLE,
    SessionThreads,
    ThreadPolicy,
    available_cores,
    thread_policy,
)


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "3")
    assert thread_policy(2) == ThreadPolicy(2)
    assert thread_policy() == ThreadPolicy(3)
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    assert thread_policy() == ThreadPolicy(None)


def test_chosen_threads_are_every_sessions() -> None:
    for decodes in (False, True):
        for quantised in (False, True):
            assert ThreadPolicy(3).of(decodes=decodes, quantised=quantised) == SessionThreads(
                3, spinning=True
            )


def test_by_default_nothing_spins_and_a_quantised_decoder_has_one_thread() -> None:
    policy = ThreadPolicy(None)
    assert policy.most == min(available_cores(), 4) >= 1
    assert policy.of(decodes=True, quantised=True) == SessionThreads(1, spinning=False)
    for decodes, quantised in ((True, False), (False, True), (False, False)):
        assert policy.of(decodes=decodes, quantised=quantised) == SessionThreads(policy.most, spinning=False)


@pytest.mark.parametrize("text", ["0", "-1", "many", ""])
def test_a_wrong_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, text)
    with pytest.raises(InputError, match=r"(?i)threads"):
        thread_policy()
