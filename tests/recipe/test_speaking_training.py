"""The speaking models: shapes, causality, streaming, and training that stops and goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from muomni.models.sampling import Sampler, SamplingOptions
from muomni.speech.letters import SIZE, SLOTS
from muomni.speech.phonemes import Phonemes
from muomni.speech.pointer import Chooser, Query
from muomni.speech.text_pointer import TextPointer
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.phonemizer import Phonemizer, PhonemizerSizes
from muomni_export.modules.talker import TalkerSizes, TextSizes, TextTalker
from recipe.speaking import codec, discriminators, state, talker
from recipe.speaking.corpus import Example, collate
from recipe.speaking.speak import TorchGraphs, frames_of

PHONEMES = Phonemes(("a", "b", "c"))
DECODER = DecoderSizes(width=32, layers=2, heads=2, kv_heads=1, hidden=32)


def sampler(seed: int) -> Chooser:
    return Sampler(SamplingOptions(temperature=1.0, seed=seed)).pick


def small_talker() -> TextTalker:
    torch.manual_seed(0)
    sizes = TextSizes(PHONEMES.size, kernel=3, dilations=(1, 2), elapsed=8)
    model = TextTalker(TalkerSizes(DECODER, 16, 62.5, sizes))
    torch.nn.init.normal_(model.base_to_res.weight)
    return model


def small_graphs() -> TorchGraphs:
    torch.manual_seed(1)
    return TorchGraphs(Phonemizer(PhonemizerSizes(DECODER, SIZE, SLOTS, 4)), small_talker())


def examples() -> list[Example]:
    rng = np.random.default_rng(0)
    result = []
    for sounds in (3, 5):
        frames = rng.integers(1, 5, sounds).astype(np.int16)
        codes = rng.integers(0, 16, (frames.sum(), 2)).astype(np.int16)
        result.append(Example(codes, rng.integers(1, PHONEMES.size, sounds).astype(np.int16), frames))
    return result


def test_pointers() -> None:
    pointer, elapsed, last = talker.pointers(torch.tensor([[2, 1, 3], [1, 1, 0]]))
    assert pointer[0].tolist() == [0, 0, 1, 2, 2, 2]
    assert elapsed[0].tolist() == [0, 1, 0, 0, 1, 2]
    assert last[0].tolist() == [False, True, True, False, False, True]
    assert pointer[1, :2].tolist() == [0, 1]
    assert last[1, :2].tolist() == [True, True]


def test_losses_ignore_what_pads_a_batch() -> None:
    model = small_talker()
    both = talker.losses(model, *collate(examples()))
    alone = [talker.losses(model, *collate([e])) for e in examples()]
    weights = [len(e.codes) for e in examples()]
    for name, value in both.items():
        expected = np.average([a[name].item() for a in alone], weights=weights)
        assert value.item() == pytest.approx(expected, rel=1e-4), name


def test_context_of_a_window_is_that_of_the_whole() -> None:
    model = small_talker()
    reach = model.sizes.text.reach
    sounds = torch.randint(1, PHONEMES.size, (1, 12))
    whole = model.context(talker.pad_sounds(sounds, reach))
    padded = talker.pad_sounds(sounds, reach)
    for i in range(12):
        assert torch.allclose(model.context(padded[:, i : i + 2 * reach + 1])[:, 0], whole[:, i], atol=1e-5)


def test_the_loop_computes_what_training_computes() -> None:
    """Greedy frames of the loop are the likeliest codes of the training forward over the same frames."""
    model = small_talker()
    sounds = [1, 6, 7, 9, 2]
    frames = frames_of(TorchGraphs(Phonemizer(PhonemizerSizes(DECODER, SIZE, SLOTS, 4)), model), sounds)
    steps: list[tuple[object, float, int]] = []
    graphs = small_graphs()
    inner = graphs.start

    def recording() -> object:
        step = inner()

        def record(query: Query) -> object:
            result = step(query)
            steps.append((result[0].argmax(), result[2], query.elapsed))
            return result

        return record

    graphs.start = recording
    assert frames_of(graphs, sounds) == frames
    starts = [i for i, (_, _, elapsed) in enumerate(steps) if elapsed == 0]
    lengths = np.diff([*starts, len(steps)])
    assert len(lengths) == len(sounds)
    pointer, elapsed, _ = talker.pointers(torch.from_numpy(lengths)[None])
    vectors = model.context(talker.pad_sounds(torch.tensor([sounds]), model.sizes.text.reach))
    codes = torch.tensor([frames])
    embedded = model.embed_at_pointer(codes[:, :-1], vectors[:, pointer[0]], elapsed)
    base, residual, advance = model.predict(embedded)
    assert base[0].argmax(-1).tolist() == [f[0] for f in frames]
    assert (residual + model.base_to_res(codes[..., 0]))[0].argmax(-1).tolist() == [f[1] for f in frames]
    assert np.allclose(advance[0].detach().numpy(), [s[1] for s in steps], atol=1e-4)


def test_text_in_pieces_gives_the_same_frames_and_early() -> None:
    graphs = small_graphs()
    text = "one two three four five, six seven eight nine ten."
    whole = list(TextPointer(graphs, PHONEMES, sampler(0), sampler(1)).frames([text]))
    given = []

    def pieces():  # type: ignore[no-untyped-def]
        for character in text:
            given.append(character)
            yield character

    stream = iter(TextPointer(graphs, PHONEMES, sampler(0), sampler(1)).frames(pieces()))
    first = next(stream)
    assert len(given) < len(text), "the first frame must not wait for the whole text"
    assert [first, *stream] == whole


def test_no_text_is_silence() -> None:
    assert list(TextPointer(small_graphs(), PHONEMES).frames([])) == []


def test_codec_fit_is_deterministic_and_better_with_its_residual() -> None:
    mel = torch.rand(3000, 20)
    fitted, again = codec.fit(mel, 0, width=8), codec.fit(mel, 0, width=8)
    codes = fitted.encode(mel[None])
    assert torch.equal(codes, again.encode(mel[None]))
    base_only = fitted.proj_out(fitted.codebooks[0](codes[..., 0]))
    assert (fitted.decode(codes) - mel).square().mean() < (base_only - mel).square().mean()


def test_a_stopped_run_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    def go(path: Path, sittings: list[int]) -> dict[str, torch.Tensor]:
        for until in sittings:
            model = small_talker()
            talker.drop_out(model)
            run = state.Run(path, model, 1e-3, 40, {})
            while run.step < until:
                torch.manual_seed(run.step)
                run.update(sum(talker.losses(model, *collate(examples()), talker.MOST_NOISE).values()))
            run.save()
        return state.averaged(path)[0]

    once, twice = go(tmp_path / "a.pt", [6]), go(tmp_path / "b.pt", [3, 6])
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_discriminators_tell_real_from_made_and_judge_what_is_made() -> None:
    torch.manual_seed(0)
    judges = discriminators.Discriminators()
    optimizer = torch.optim.Adam(judges.parameters(), 2e-3)
    t = torch.arange(2048) / 16_000
    real = torch.sin(2 * torch.pi * torch.linspace(200, 400, 4)[:, None] * t)
    made = torch.rand(4, 2048, requires_grad=True)
    first = discriminators.discriminator_loss(judges(real), judges(made.detach())).item()
    for _ in range(8):
        loss = discriminators.discriminator_loss(judges(real), judges(made.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < first
    taken, alike = discriminators.generator_losses(judges(real), judges(made))
    (taken + alike).backward()
    assert made.grad is not None and made.grad.abs().sum() > 0
    own = discriminators.generator_losses(judges(real), judges(real))
    assert own[1].item() == pytest.approx(0, abs=1e-6) and own[1] < alike


def test_what_is_trained_beside_a_run_is_saved_with_it(tmp_path: Path) -> None:
    beside = state.Run(tmp_path / "b.pt", torch.nn.Linear(2, 1), 1e-3, 4, {})
    run = state.Run(tmp_path / "a.pt", torch.nn.Linear(2, 1), 1e-3, 4, {}, beside=beside)
    beside.step = 3
    run.save()
    assert state.load(tmp_path / "b.pt")["step"] == 3


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    assert state.schedule(0, 10_000) < 0.01
    assert state.schedule(5000, 10_000) == 1
    assert state.schedule(10_000, 10_000) == 0


def test_each_sentence_is_spoken_by_itself() -> None:
    graphs = small_graphs()
    one, two = [6, 7, 2], [9, 1, 8, 3]
    assert frames_of(graphs, one + two) == [*frames_of(graphs, one), *frames_of(graphs, two)]


def test_a_run_refuses_the_checkpoint_of_another_model(tmp_path: Path) -> None:
    state.Run(tmp_path / "a.pt", small_talker(), 1e-3, 4, {"width": 32}).save()
    with pytest.raises(ValueError, match="another model"):
        state.Run(tmp_path / "a.pt", small_talker(), 1e-3, 4, {"width": 64})


def test_what_is_dropped_in_training_is_there_when_it_speaks() -> None:
    plain, trained = small_talker(), small_talker()
    trained.load_state_dict(plain.state_dict())
    talker.drop_out(trained)
    batch = collate(examples())
    base = talker.losses(plain, *batch)["base"]
    assert not torch.equal(talker.losses(trained, *batch)["base"], base)
    assert torch.equal(talker.losses(trained.eval(), *batch)["base"], base)
