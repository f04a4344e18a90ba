"""The phonemizer of a text-conditioned Talker: the graph of letters to phonemes, and its check."""

from __future__ import annotations

import torch

from muomni_export.modules.phonemizer import Phonemizer
from muomni_export.parity.compare import GraphCheck, generator, parameters_of, to_numpy
from muomni_export.parity.replay import Arrays
from muomni_export.stages.stage import BATCH, STEP, GraphBuild


def phonemizer_check(phonemizer: Phonemizer) -> GraphCheck:
    random = generator()

    def case(batch: int, length: int) -> Arrays:
        return {"letters": random.integers(1, phonemizer.sizes.letters, (batch, length))}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            return to_numpy(symbol_logits=phonemizer(torch.from_numpy(case["letters"])))

    cases = [case(1, 9), case(1, 3), case(4, 14), case(1, 30)]
    return GraphCheck("letters", parameters_of(phonemizer), cases, reference)


def phonemizer_build(phonemizer: Phonemizer) -> GraphBuild:
    letters = torch.zeros(BATCH, STEP, dtype=torch.int64)
    axes = {0: torch.export.Dim("B"), 1: torch.export.Dim("L")}
    return GraphBuild("letters", phonemizer, (letters,), (axes,), phonemizer_check(phonemizer))
