"""``python -m recipe.speaking STAGE``: make the data, train, say, evaluate. Run it from ``checkpoints/``.

Stages, in order: ``prepare`` (inventory, codec), ``corpus``, ``letters``, ``talker``, ``vocoder``. Each goes on
from what the state folder holds. ``say`` speaks a text with what is trained so far; ``evaluate`` measures it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile
import torch

from muomni.models.sampling import Sampler, SamplingOptions
from muomni.speech.phonemes import Phonemes
from muomni.speech.pointer import SpokenText, best
from muomni_export.modules.codec import Codec, CodecSizes
from muomni_export.modules.phonemizer import Phonemizer
from recipe import DEFAULT_STATE

from . import codec, collect, corpus, evaluate, letters, talker, vocoder
from .espeak import Espeak
from .inventory import count_sounds
from .mel import SPEC, log_mel, speech
from .speak import TorchGraphs
from .state import averaged, load, save

CODEC_SENTENCES = 600  # half an hour of speech: a few hundred frames for each code
INVENTORY_SENTENCES = 6000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.speaking", description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="where training is kept")
    stages = parser.add_subparsers(dest="stage", required=True)
    stages.add_parser("prepare", help="count the sounds, fit the codec")
    make = stages.add_parser("corpus", help="make shards of speech")
    make.add_argument("--shards", type=int, default=6, help="how many to have, two to three hours each")
    for name, steps in (("letters", 20_000), ("talker", 20_000), ("vocoder", 20_000)):
        stage = stages.add_parser(name, help=f"train the {name}")
        stage.add_argument("--steps", type=int, default=steps, help="total, over all sittings")
    say = stages.add_parser("say", help="speak a text")
    say.add_argument("text")
    say.add_argument("--out", type=Path, default=Path("speech.wav"))
    say.add_argument("--temperature", type=float, default=0.0, help="of the base code; 0 takes the likeliest")
    measure = stages.add_parser("evaluate", help="what a recogniser hears, against the teacher")
    measure.add_argument("--count", type=int, default=40, help="sentences")
    measure.add_argument("--seed", type=int, default=0)
    measure.add_argument("--split", choices=("dev", "evaluation"), default="dev")
    measure.add_argument("--any-words", action="store_true", help="no grammar, only its words: much harder")
    gather = stages.add_parser("collect", help="write the averaged weights as checkpoints in μOmni's format")
    gather.add_argument("--out", type=Path, default=Path("demo"))
    gather.add_argument("--half", action="store_true", help="weights in float16, as they ship")
    for stage in (say, measure):
        stage.add_argument("--griffin-lim", action="store_true", help="even if there is a trained vocoder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder: Path = options.state / "speaking"
    if options.stage == "prepare":
        prepare(folder)
    elif options.stage == "corpus":
        trained = load_codec(folder)
        for number in range(options.shards):
            hours = corpus.write_shard(folder / "corpus", "train", number, trained, load_inventory(folder))
            print(f"shard {number}: {hours:.1f} h", flush=True)
        corpus.write_shard(folder / "corpus", "dev", 0, trained, load_inventory(folder))
    elif options.stage == "letters":
        letters.train(folder, load_inventory(folder), options.steps)
    elif options.stage == "collect":
        dtype = torch.float16 if options.half else torch.float32
        collect.collect(folder, options.out, load_inventory(folder), dtype)
    elif options.stage == "vocoder":
        vocoder.train(folder, load_codec(folder), options.steps)
    elif options.stage == "say":
        model = load_graphs(folder)
        sampling = SamplingOptions(temperature=options.temperature, seed=0)
        choose = Sampler(sampling).pick if options.temperature else best
        frames = list(SpokenText(model, load_inventory(folder), [options.text], choose))
        vocode = load_vocoder(folder, options.griffin_lim)
        samples = vocode(evaluate.decode(load_codec(folder), np.array(frames)))
        soundfile.write(options.out, samples, SPEC.sample_rate_hz)
    elif options.stage == "evaluate":
        result = evaluate.evaluate(
            load_codec(folder),
            load_inventory(folder),
            load_graphs(folder),
            (folder / "letters.pt").is_file(),
            options.count,
            options.split,
            options.seed,
            load_vocoder(folder, options.griffin_lim),
            strict=not options.any_words,
        )
        print(json.dumps(result, indent=1))
    elif options.stage == "talker":
        talker.train(folder, load_inventory(folder).size, options.steps)


def prepare(folder: Path) -> None:
    """The inventory of sounds and the codec, unless they are there."""
    espeak = Espeak()
    if not (folder / "inventory.json").is_file():
        inventory = count_sounds(corpus.spoken(espeak, "train", 0, INVENTORY_SENTENCES))
        corpus.write_json(folder / "inventory.json", list(inventory.symbols))
        print(f"{len(inventory.symbols)} sounds", flush=True)
    if not (folder / "codec.pt").is_file():
        speech = corpus.spoken(espeak, "train", 0, CODEC_SENTENCES)
        mel = torch.from_numpy(np.concatenate([log_mel(a.samples) for a in speech]))
        trained = codec.fit(mel, seed=0)
        error = (trained.decode(trained.encode(mel[None]))[0] - mel).square().mean().sqrt()
        print(f"codec: {len(mel)} frames, error {error:.4f} of the range 0…1", flush=True)
        save(folder / "codec.pt", {"rvq": trained.state_dict()})


def load_codec(folder: Path) -> Codec:
    weights = load(folder / "codec.pt")["rvq"]
    width, bins = weights["proj_in.weight"].shape
    trained = Codec(CodecSizes(codec.CODEBOOKS, codec.CODEBOOK_SIZE, width, bins))
    trained.load_state_dict(weights)
    return trained


def load_graphs(folder: Path) -> TorchGraphs:
    """The averaged weights of what is trained so far; untrained letters if there are none."""
    weights, config = averaged(folder / "talker.pt")
    speaker = talker.from_config(config)
    speaker.load_state_dict(weights)
    speller = Phonemizer(letters.sizes(1 + len(load_inventory(folder).symbols)))
    if (folder / "letters.pt").is_file():
        speller.load_state_dict(averaged(folder / "letters.pt")[0])
    return TorchGraphs(speller, speaker)


def load_vocoder(folder: Path, griffin_lim: bool = False) -> evaluate.Vocode:
    """The trained vocoder if there is one, else Griffin-Lim."""
    if griffin_lim or not (folder / "vocoder.pt").is_file():
        return speech
    weights, config = averaged(folder / "vocoder.pt")
    model = vocoder.from_config(config)
    model.load_state_dict(weights)
    return vocoder.as_function(model)


def load_inventory(folder: Path) -> Phonemes:
    return Phonemes(tuple(json.loads((folder / "inventory.json").read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
