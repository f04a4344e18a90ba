"""``python -m recipe.speaking STAGE``: make the data, train, say, evaluate. Run it from ``checkpoints/``.

Stages, in order: ``prepare`` (phonemes, codec), ``corpus``, ``letters``, ``talker``, ``vocoder``. Each goes on
from what the state folder holds. ``say`` speaks a text with what is trained so far; ``evaluate`` measures it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from muomni.models.sampling import Sampler, SamplingOptions
from muomni.speech.phonemes import Phonemes
from muomni.speech.pointer import best
from muomni.speech.text_pointer import TextPointer
from muomni_export.modules.codec import Codec, CodecSizes
from muomni_export.modules.phonemizer import Phonemizer
from recipe import DEFAULT_STATE
from recipe.seeds import Split
from recipe.teachers.kokoro_phonemes import SPACE, pieces
from recipe.teachers.readings import reading
from recipe.teachers.shards import shards

from . import codec, collect, corpus, letters, talker, vocoder
from .espeak import Espeak, MismatchError
from .mel import SPEC, log_mel, speech
from .phonemes import count_phonemes
from .speak import TorchGraphs, decode
from .state import averaged, load, save

CODEC_READINGS = 1200  # an hour of speech: two hundred frames for each code
PHONEME_SENTENCES = 6000
PHONEMES_FILE = "phonemes.json"
STEPS = {"letters": 6_000, "talker": 12_000, "vocoder": 7_000}
Vocode = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.speaking", description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="where training is kept")
    stages = parser.add_subparsers(dest="stage", required=True)
    stages.add_parser("prepare", help="list the phonemes, fit the codec")
    stages.add_parser("corpus", help="codes of all that the teacher has read so far")
    for name in ("letters", "talker", "vocoder"):
        stage = stages.add_parser(name, help=f"train the {name}")
        stage.add_argument("--steps", type=int, default=STEPS[name], help="total, over all sittings")
    say = stages.add_parser("say", help="speak a text")
    say.add_argument("text")
    say.add_argument("--out", type=Path, default=Path("speech.wav"))
    say.add_argument("--temperature", type=float, default=0.0, help="of the base code; 0 takes the likeliest")
    measure = stages.add_parser("evaluate", help="what the judges say, against the teacher")
    choose = stages.add_parser("codecs", help="what codebooks of several numbers and sizes cost")
    for stage in (measure, choose):
        stage.add_argument("--count", type=int, default=40, help="sentences")
    choose.add_argument("--fitted-on", type=int, default=600, help="readings")
    gather = stages.add_parser("collect", help="write the averaged weights as checkpoints in μOmni's format")
    gather.add_argument("--out", type=Path, default=Path("demo"))
    gather.add_argument("--half", action="store_true", help="weights in float16, as they ship")
    for stage in (say, measure):
        stage.add_argument("--griffin-lim", action="store_true", help="even if there is a trained vocoder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder: Path = options.state.expanduser() / "speaking"
    readings: Path = options.state.expanduser() / "teacher"
    if options.stage == "prepare":
        prepare(folder, readings)
    elif options.stage == "corpus":
        make_corpus(folder, readings)
    elif options.stage == "letters":
        letters.train(folder, load_phonemes(folder), options.steps)
    elif options.stage == "talker":
        talker.train(
            folder, load_phonemes(folder).size, load_codec(folder).sizes.codebook_size, options.steps
        )
    elif options.stage == "vocoder":
        vocoder.train(folder, load_codec(folder), readings, options.steps)
    elif options.stage == "collect":
        dtype = torch.float16 if options.half else torch.float32
        collect.collect(folder, options.out, load_phonemes(folder), dtype)
    elif options.stage == "say":
        model = load_graphs(folder)
        sampling = SamplingOptions(temperature=options.temperature, seed=0)
        choose_code = Sampler(sampling).pick if options.temperature else best
        frames = list(TextPointer(model, load_phonemes(folder), choose_code).frames([options.text]))
        vocode = load_vocoder(folder, options.griffin_lim)
        samples = vocode(decode(load_codec(folder), np.array(frames)))
        soundfile.write(options.out, samples, SPEC.sample_rate_hz)
    elif options.stage == "codecs":
        from .evaluate import compare_codecs

        print(json.dumps(compare_codecs(readings, options.count, options.fitted_on), indent=1))
    elif options.stage == "evaluate":
        from .evaluate import evaluate

        result = evaluate(
            readings,
            load_codec(folder),
            load_phonemes(folder),
            load_graphs(folder) if (folder / "talker.pt").is_file() else None,
            options.count,
            load_vocoder(folder, options.griffin_lim),
            (folder / "letters.pt").is_file(),
        )
        print(json.dumps(result, indent=1))


def prepare(folder: Path, readings: Path) -> None:
    """The list of phonemes and the codec, unless they are there."""
    if not (folder / PHONEMES_FILE).is_file():
        espeak = Espeak()
        texts = (reading("voice", "train", 0, index).text for index in range(PHONEME_SENTENCES))
        found = count_phonemes(symbols_of(espeak, text) for text in texts)
        corpus.write_json(folder / PHONEMES_FILE, list(found.symbols))
        print(f"{len(found.symbols)} phonemes", flush=True)
    if not (folder / "codec.pt").is_file():
        heard = itertools.islice(corpus.spoken(readings, "train"), CODEC_READINGS)
        mel = torch.from_numpy(np.concatenate([log_mel(a.samples) for a in heard]))
        trained = codec.fit(mel, seed=0)
        error = (trained.decode(trained.encode(mel[None]))[0] - mel).square().mean().sqrt()
        print(f"codec: {len(mel)} frames, error {error:.4f} of the range 0…1", flush=True)
        save(folder / "codec.pt", {"rvq": trained.state_dict()})


def symbols_of(espeak: Espeak, text: str) -> list[str]:
    with contextlib.suppress(MismatchError):
        return [piece.symbol for piece in pieces(espeak, text) if piece.text != SPACE]
    return []


def make_corpus(folder: Path, readings: Path) -> None:
    trained, phonemes = load_codec(folder), load_phonemes(folder)
    splits: tuple[Split, ...] = ("train", "dev")
    for split in splits:
        found = shards(readings, "voice", split, 0)
        for source in found:
            corpus.write_shard(folder / "corpus", source, trained, phonemes)
        print(f"{split}: {len(found)} shards", flush=True)


def load_codec(folder: Path) -> Codec:
    weights = load(folder / "codec.pt")["rvq"]
    width, bins = weights["proj_in.weight"].shape
    size = len(weights["codebooks.0.weight"])
    trained = Codec(CodecSizes(collect.rvq_books(weights), size, width, bins))
    trained.load_state_dict(weights)
    return trained


def load_graphs(folder: Path) -> TorchGraphs:
    """The averaged weights of what is trained so far; untrained letters if there are none."""
    weights, config = averaged(folder / "talker.pt")
    speaker = talker.from_config(config)
    speaker.load_state_dict(weights)
    to_phonemes = Phonemizer(letters.sizes(1 + len(load_phonemes(folder).symbols)))
    if (folder / "letters.pt").is_file():
        to_phonemes.load_state_dict(averaged(folder / "letters.pt")[0])
    return TorchGraphs(to_phonemes, speaker)


def load_vocoder(folder: Path, griffin_lim: bool = False) -> Vocode:
    """The trained vocoder if there is one, else Griffin-Lim."""
    if griffin_lim or not (folder / "vocoder.pt").is_file():
        return speech
    weights, config = averaged(folder / "vocoder.pt")
    model = vocoder.from_config(config)
    model.load_state_dict(weights)
    return vocoder.as_function(model)


def load_phonemes(folder: Path) -> Phonemes:
    return Phonemes(tuple(json.loads((folder / PHONEMES_FILE).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
