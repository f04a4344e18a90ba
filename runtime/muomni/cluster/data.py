"""A data set of requests to one of replies: an engine in each actor of a pool, with Ray Data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset

from muomni.bundle.demo import demo_bundle
from muomni.bundle.folder import open_bundle
from muomni.engine.slots import check_slots
from muomni.errors import InputError, MuomniError
from muomni.jsonl.requests import KINDS
from muomni.omni import Omni
from muomni.replies import Reply
from muomni.requests import Request, RequestOptions, as_request

from .rows import REPLY_COLUMNS, SpeechPlace, columns_of, request_of, table_of

BATCH_SLOTS = 4
"""Batches are so many times the slots: at the end of each the slots become empty one by one."""


def answer(
    dataset: Dataset,
    model: str | Path | None = None,
    *,
    slots: int = 16,
    batch_size: int | None = None,
    actors: int | tuple[int, int] = 1,
    num_cpus: float = 1,
    device: str = "auto",
    keep: Sequence[str] = ("id",),
    folder: str | Path = ".",
    speech_folder: str | None = None,
    **options: Unpack[RequestOptions],
) -> Dataset:
    """Answer each row of a data set; nothing runs until the result is read or written.

    A reply is the one that :meth:`muomni.Omni.generate_batch` gives, id for id, on whichever node it is made. A row
    that cannot be answered has ``error`` in place of a reply, and stops no other.

    Args:
        dataset: its columns are keys of a request (``text``, ``images``, ``audio``, ``max_new_tokens``, …), as in a
            file of ``--batch``; media may be paths that every node can read, or encoded bytes.
        model: folder of the bundle, the same on every node; None takes the demo.
        slots: requests that decode together in an actor.
        batch_size: rows that an actor takes at once; None is four times the slots.
        actors: how many, or at least and at most so many.
        num_cpus: cores of an actor, and threads of its graphs.
        keep: columns that the result has as well, such as an id. Other columns that are no keys of a request are an
            error.
        folder: where relative paths of media begin.
        speech_folder: with ``speech=True``, where WAV files go, named by the first column of ``keep``, which must be an
            id: a path that every node can write, or the URI of a store. None keeps the bytes in the column ``speech``.
        options: for all rows, what a row does not say itself; as of :meth:`muomni.Omni.generate`.

    Returns:
        The columns of ``keep``, ``text``, ``token_ids``, ``finish_reason``, ``prompt_tokens``, ``completion_tokens``,
        ``seed``, ``ocr``, ``logprobs``, ``speech``, ``speech_path``, ``notes`` and ``error``.

    Raises:
        InputError: an option of another type or out of range, or a column that is not known.
        BundleError: the folder is no bundle.

    Example:
        >>> questions = ray.data.from_items([{"id": 1, "text": "What is two plus three?"}])
        >>> muomni.cluster.answer(questions).take_all()[0]["text"]
        'Two plus three is five.'
    """
    as_request(**options)
    columns = dataset.columns(fetch_if_missing=False)
    if columns is not None:
        check_columns(columns, keep)
    if speech_folder is not None and not (options.get("speech") and keep):
        raise InputError(
            "speech_folder: files are named by the first column of keep, and there is none, or no speech=True"
        )
    pool = Pool(None if model is None else Path(model), slots, batch_size, actors, num_cpus, device)
    arguments = {
        "defaults": dict(options),
        "folder": Path(folder).absolute(),
        "speech_folder": speech_folder,
        "keep": tuple(keep),
    }
    return pool.map(dataset, ColumnAnswers, arguments)


@dataclass(frozen=True)
class Pool:
    """The actors that answer; the attributes are arguments of :func:`answer`."""

    model: Path | None = None
    slots: int = 16
    batch_size: int | None = None
    actors: int | tuple[int, int] = 1
    num_cpus: float = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        check_slots(self.slots)
        least, most = self.bounds
        if not 1 <= least <= most:
            raise InputError(f"actors: expected at least 1, or such a pair of bounds, got {self.actors}")
        if self.num_cpus <= 0:
            raise InputError(f"num_cpus: expected more than 0, got {self.num_cpus}")
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"batch_size: expected at least 1, got {self.batch_size}")

    @property
    def bounds(self) -> tuple[int, int]:
        return (self.actors, self.actors) if isinstance(self.actors, int) else self.actors

    @property
    def rows(self) -> int:
        """Of a batch."""
        return self.batch_size or BATCH_SLOTS * self.slots

    @property
    def bundle(self) -> Path:
        return demo_bundle() if self.model is None else self.model.absolute()

    def map(self, dataset: Dataset, answers: type[Answers], arguments: Mapping[str, Any]) -> Dataset:
        """A data set through the actors.

        Raises:
            BundleError: the folder is no bundle; it is looked at here, before anything runs elsewhere.
        """
        open_bundle(self.bundle)
        least, most = self.bounds
        return dataset.map_batches(
            answers,
            compute=ActorPoolStrategy(min_size=least, max_size=most),
            batch_size=self.rows,
            batch_format="pyarrow",
            zero_copy_batch=True,
            num_cpus=self.num_cpus,
            fn_constructor_kwargs={
                # The demo is with each node's muomni, wherever that is installed.
                "model": None if self.model is None else self.bundle,
                "device": self.device,
                "threads": max(1, int(self.num_cpus)),
                "slots": self.slots,
                **arguments,
            },
        )


class Answers:
    """An engine in an actor: a batch of requests to a batch of replies.

    Args:
        threads: of each graph. ONNX Runtime heeds no OMP_NUM_THREADS, which is how Ray tells others.
        defaults: options for what a row does not say.
        folder: where relative paths of media begin.
        speech_folder: as of :func:`answer`.
    """

    def __init__(
        self,
        model: Path | None,
        device: str,
        threads: int,
        slots: int,
        defaults: Mapping[str, Any],
        folder: Path,
        speech_folder: str | None,
    ) -> None:
        self._omni = Omni.load(model, device, threads)
        self._slots, self._defaults, self._folder = slots, defaults, folder
        self._speech = SpeechPlace(speech_folder)
        if speech_folder is not None and "://" not in speech_folder:
            Path(speech_folder).mkdir(parents=True, exist_ok=True)

    def results(self, wanted: Sequence[Request | InputError]) -> list[Reply | MuomniError]:
        """What became of each."""
        found: list[Any] = list(wanted)
        places = [place for place, one in enumerate(wanted) if isinstance(one, Request)]
        asked = [one for one in wanted if isinstance(one, Request)]
        for index, result in self._omni.stream_batch(asked, slots=self._slots):
            found[places[index]] = result
        return found

    def place(self, result: Reply | MuomniError, name: Any) -> str | None:
        """Where the speech of a result went."""
        if isinstance(result, Reply) and result.speech is not None:
            return self._speech.put(result.speech, name)
        return None


class ColumnAnswers(Answers):
    """Requests by column."""

    def __init__(self, keep: Sequence[str], **others: Any) -> None:
        super().__init__(**others)
        self._keep = keep

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows to rows, see :func:`answer`."""
        check_columns(batch.column_names, self._keep)
        kept = [name for name in self._keep if name in batch.column_names]
        if self._speech.folder is not None and not kept:
            raise InputError(
                "speech_folder: files are named by the first column of keep, and the data has none"
            )
        asked = batch.drop_columns([name for name in kept if name not in KINDS]).to_pylist()
        results = self.results([request_of(row, self._defaults, self._folder) for row in asked])
        names = batch[kept[0]].to_pylist() if kept else [None] * len(results)
        rows = [
            columns_of(result, self.place(result, name)) for result, name in zip(results, names, strict=True)
        ]
        return table_of(rows, batch.select(kept))


def check_columns(columns: Sequence[str], keep: Sequence[str]) -> None:
    """Check that a data set says what is asked, and nothing that is not understood.

    Raises:
        InputError: a column that is neither a key of a request nor kept, or one to be kept with a reply's name.
    """
    for name in keep:
        if name in REPLY_COLUMNS:
            raise InputError(f"keep: {name!r} is a column of the reply; rename yours first")
    for name in columns:
        if name not in KINDS and name not in keep:
            raise InputError(
                f"column {name!r}: expected keys of a request ({', '.join(KINDS)}), or one that is named in keep; drop "
                "it, or keep it"
            )
