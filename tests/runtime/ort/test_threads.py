"""Thread counts: argument, environment, machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from muomni import Omni
from muomni.bundle.manifest import GraphEntry, Precision
from muomni.errors import InputError
from muomni.models.thinker import Thinker
from muomni.models.vision import Vision
from muomni.ort.providers import can_limit_spinning
from muomni.ort.threads import (
    ENVIRONMENT_VARIABLE,
    LARGE_DECODER_BYTES,
    SPIN_MICROSECONDS,
    SessionThreads,
    ThreadPolicy,
    available_cores,
    thread_policy,
)


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "3")
    assert thread_policy(2) == ThreadPolicy(2)
    assert thread_policy() == ThreadPolicy(3)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    assert thread_policy() == ThreadPolicy(None), "an empty variable is one that is not set"
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    assert thread_policy() == ThreadPolicy(None)


def test_chosen_threads_are_every_sessions() -> None:
    policy = ThreadPolicy(3)
    assert policy.for_passes() == SessionThreads(3)
    for weight_bytes in (1e6, 1e9):
        assert policy.for_steps(weight_bytes) == policy.for_steps_of_many_rows()
    assert policy.for_steps_of_many_rows() == SessionThreads(3, SPIN_MICROSECONDS)


def test_by_default_a_small_decoder_has_one_thread_and_a_large_one_all() -> None:
    policy = ThreadPolicy(None)
    assert policy.most == min(available_cores(), 4) >= 1
    assert policy.for_steps(LARGE_DECODER_BYTES - 1) == SessionThreads(1)
    assert policy.for_steps(LARGE_DECODER_BYTES) == policy.for_steps_of_many_rows()
    assert policy.for_passes() == SessionThreads(policy.most)


def test_on_one_core_many_rows_get_what_one_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch then shares the session of a small decoder, instead of loading it twice."""
    monkeypatch.setattr("muomni.ort.threads.available_cores", lambda: 1)
    policy = ThreadPolicy(None)
    assert policy.for_steps_of_many_rows() == policy.for_steps(1e6) == SessionThreads(1)


def test_the_size_of_a_decoder_is_that_of_the_weights_it_computes_with() -> None:
    def size(precision: Precision) -> float:
        return GraphEntry("x.onnx", 1000, precision, max_error=0.0, tolerance=1.0).weight_bytes

    assert size("fp32") == size("fp16") == 4000
    assert 1000 < size("int8") < 1100 and 500 < size("int4") < 600


def test_the_stages_of_a_small_model_get_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    most = ThreadPolicy(None).most

    def count(stage: Thinker | Vision) -> int:
        session = stage.decoder.session if isinstance(stage, Thinker) else stage.session
        options = session._session.get_session_options()
        return int(options.intra_op_num_threads)

    stages = Omni.load(device="cpu")._models
    assert [count(stages.thinker()), count(stages.batch_thinker()), count(stages.vision())] == [1, most, most]


@pytest.mark.parametrize(("version", "knows"), [("1.25.1", False), ("1.26.0", True), ("2.0.0.dev1", True)])
def test_threads_spin_only_where_it_can_be_kept_short(version: str, knows: bool) -> None:
    assert can_limit_spinning(version) is knows


@pytest.mark.parametrize("text", ["0", "-1", "many", " "])
def test_a_wrong_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, text)
    with pytest.raises(InputError, match=r"(?i)threads"):
        thread_policy()


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "300000 100000\n"}, 3),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({}, 8),
    ],
)
def test_a_container_gets_no_more_cores_than_its_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert available_cores(tmp_path) == cores
