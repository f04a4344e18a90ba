"""Replies of the model in training, the way the runtime makes them: greedy, one conversation at a time."""

from __future__ import annotations

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from muomni_export.modules.decoder import CachedAttend
from recipe.cases import Case
from recipe.pictures import pixels
from recipe.sound import mel_of
from recipe.tokenizer import BOS, EOS

from .model import Perception

MAX_REPLY_TOKENS = 60


class Replier:
    """Answers cases with a model in memory, so that training can be judged before anything is exported."""

    def __init__(self, model: Perception, tokenizer: SentencePieceProcessor, device: str = "cpu") -> None:
        self.model, self.tokenizer, self.device = model, tokenizer, device

    @torch.no_grad()
    def __call__(self, case: Case) -> str:
        """The reply to the last turn."""
        attend = CachedAttend()
        text = ""
        if case.system:
            self._add([BOS, *self.tokenizer.encode(case.system), EOS], attend)
        for part in (*case.before, case):
            media = self._media(part)
            for turn in part.turns:
                text = self._turn(media, turn, attend)
                media = None
        return text

    def _media(self, case: Case) -> Tensor | None:
        """Media embeddings (1, M, D) in the order image, video, audio."""
        side = self.model.sizes.vision.image_size
        images = [i for i in (case.image, *(case.video or ())) if i is not None]
        parts = []
        if images:
            stack = torch.from_numpy(np.stack([pixels(image, side) for image in images]))
            parts.append(self.model.see(stack.to(self.device))[0].flatten(0, 1))
        if case.audio is not None:
            mel = torch.from_numpy(mel_of(case.audio))[None]
            parts.append(self.model.hear(mel.to(self.device))[0][0])
        return torch.cat(parts)[None] if parts else None

    def _turn(self, media: Tensor | None, text: str, attend: CachedAttend) -> str:
        thinker = self.model.thinker
        ids = torch.tensor([[BOS, *self.tokenizer.encode(text)]], device=self.device)
        x = thinker.tok_emb(ids)
        if media is not None:
            x = torch.cat((media, x), dim=1)
        reply: list[int] = []
        while len(reply) < MAX_REPLY_TOKENS:
            token = int(thinker.lm_head(thinker.hidden(x, attend)[0, -1]).argmax())
            if token == EOS:
                self._add([EOS], attend)  # the end is part of what later turns see
                break
            reply.append(token)
            x = thinker.tok_emb(torch.tensor([[token]], device=self.device))
        decoded: str = self.tokenizer.decode(reply)
        return decoded

    def _add(self, ids: list[int], attend: CachedAttend) -> None:
        """Tokens that nothing is predicted from."""
        self.model.thinker.hidden(self.model.thinker.tok_emb(torch.tensor([ids], device=self.device)), attend)
