"""What the graphs of speech are checked on: Talker, letters to sounds, codec, vocoder."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from muomni_export.modules.codec import Codec
from muomni_export.modules.letters import LettersToSounds
from muomni_export.modules.talker import Talker
from muomni_export.modules.vocoder import SpectralVocoder, Vocoder
from muomni_export.parity.compare import GraphCheck, generator, normal, parameters_of, split_chunks, to_numpy
from muomni_export.parity.replay import Arrays, difference


def talker_check(talker: Talker, start_codes: tuple[int, int]) -> GraphCheck:
    random = generator()

    def case(batch: int, frames: int, *chunks: int) -> Arrays:
        codes = random.integers(0, talker.sizes.codebook_size, (batch, frames, 2))
        codes[:, 0] = start_codes
        return {"codes": codes, "chunks": split_chunks(frames, *chunks)}

    def reference(case: Arrays) -> Arrays:
        codes = torch.from_numpy(case["codes"])
        last = torch.from_numpy(case["chunks"].cumsum() - 1)
        with torch.inference_mode():
            base, residual = talker(talker.embed(codes[:, 1:]))
            return to_numpy(base_logits=base[:, last], residual_logits=residual[:, last])

    cases = [case(1, 6, 2), case(1, 1), case(1, 40, 17, 5), case(3, 8, 3), case(1, 150, 140)]
    return GraphCheck("talker", parameters_of(talker), cases, reference)


def spoken_talker_check(talker: Talker, start_codes: tuple[int, int]) -> GraphCheck:
    random, sizes = generator(), talker.sizes
    assert sizes.text is not None
    longest = sizes.text.elapsed

    def case(batch: int, frames: int, *chunks: int) -> Arrays:
        codes = random.integers(0, sizes.codebook_size, (batch, frames, 2))
        codes[:, 0] = start_codes
        return {
            "codes": codes,
            "vectors": normal(random, batch, frames, sizes.decoder.width),
            "elapsed": random.integers(0, longest, (batch, frames)),
            "chunks": split_chunks(frames, *chunks),
        }

    def reference(case: Arrays) -> Arrays:
        last = torch.from_numpy(case["chunks"].cumsum() - 1)
        codes, vectors, elapsed = (torch.from_numpy(case[name]) for name in ("codes", "vectors", "elapsed"))
        with torch.inference_mode():
            base, residual, advance = talker.speak(talker.embed_spoken(codes[:, 1:], vectors, elapsed))
            return to_numpy(
                base_logits=base[:, last], residual_logits=residual[:, last], advance=advance[:, last]
            )

    cases = [case(1, 6, 2), case(1, 1), case(1, 40, 17, 5), case(3, 8, 3), case(1, 150, 140)]
    step = (talker.context, talker.base_to_res)  # not in this graph
    return GraphCheck("talker", parameters_of(talker) - parameters_of(*step), cases, reference)


def letters_check(letters: LettersToSounds) -> GraphCheck:
    random = generator()

    def case(batch: int, length: int) -> Arrays:
        return {"letters": random.integers(1, letters.sizes.letters, (batch, length))}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            return to_numpy(symbol_logits=letters(torch.from_numpy(case["letters"])))

    cases = [case(1, 9), case(1, 3), case(4, 14), case(1, 30)]
    return GraphCheck("letters", parameters_of(letters), cases, reference)


def context_check(talker: Talker) -> GraphCheck:
    random, text = generator(), talker.sizes.text
    assert text is not None

    def case(batch: int, count: int) -> Arrays:
        return {"sounds": random.integers(0, text.sounds, (batch, 2 * text.reach + count))}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            return to_numpy(vectors=talker.context(torch.from_numpy(case["sounds"])))

    return GraphCheck("context", parameters_of(talker.context), [case(1, 1), case(2, 9)], reference)


def codec_checks(codec: Codec) -> list[GraphCheck]:
    random, sizes = generator(), codec.sizes

    def decode(case: Arrays) -> Arrays:
        with torch.inference_mode():
            return to_numpy(mel=codec.decode(torch.from_numpy(case["codes"])))

    def encode(case: Arrays) -> Arrays:
        with torch.inference_mode():
            return to_numpy(codes=codec.encode(torch.from_numpy(case["mel"])))

    def compare_codes(case: Arrays, expected: Arrays, got: Arrays) -> float:
        # Two codes at the same distance are equally right, so distances are compared, not codes.
        with torch.inference_mode():
            target = codec.proj_in(torch.from_numpy(case["mel"]))

            def distance(codes: NDArray[np.int64]) -> NDArray[np.float32]:
                picked = [book(torch.from_numpy(codes[..., i])) for i, book in enumerate(codec.codebooks)]
                remaining: NDArray[np.float32] = (target - sum(picked)).norm(dim=-1).numpy()
                return remaining

            return difference(distance(expected["codes"]), distance(got["codes"]))

    codes = [
        {"codes": random.integers(0, sizes.codebook_size, (batch, frames, sizes.codebooks))}
        for batch, frames in ((1, 7), (1, 1), (2, 50))
    ]
    mels = [
        {"mel": normal(random, batch, frames, sizes.mel_bins)} for batch, frames in ((1, 7), (1, 1), (2, 50))
    ]
    return [
        GraphCheck("codec", parameters_of(codec.codebooks, codec.proj_out), codes, decode),
        GraphCheck(
            "codec_encoder", parameters_of(codec.codebooks, codec.proj_in), mels, encode, compare_codes
        ),
    ]


def vocoder_check(vocoder: Vocoder | SpectralVocoder) -> GraphCheck:
    random = generator()

    def case(batch: int, frames: int) -> Arrays:
        return {"mel": random.random((batch, frames, vocoder.sizes.mel_bins), dtype=np.float32)}

    def reference(case: Arrays) -> Arrays:
        mel = torch.from_numpy(case["mel"])
        with torch.inference_mode():
            if isinstance(vocoder, SpectralVocoder):
                real, imaginary = vocoder.spectrum(mel)
                return to_numpy(real=real, imaginary=imaginary)
            return to_numpy(samples=vocoder(mel))

    return GraphCheck("vocoder", parameters_of(vocoder), [case(1, 6), case(1, 1), case(2, 25)], reference)
