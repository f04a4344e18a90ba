"""The file of requests that ``--batch`` names, answered on a cluster: lines in, a folder of replies out.

Ray checkpoints what has been written, by an id of each line; the same call goes on where one before it ended, however
that was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.data import DataContext, Datasource, ReadTask
from ray.data.block import BlockAccessor, BlockMetadata
from ray.data.checkpoint import CheckpointConfig
from ray.data.datasource import BlockBasedFileDatasink

from muomni.bundle.folder import open_bundle
from muomni.errors import OutputError
from muomni.jsonl.requests import DIGEST_LETTERS, Line, read_requests
from muomni.replies import Reply

from .data import Answers, Pool
from .rows import LINE, columns_of, line_of, table_of

Format = Literal["jsonl", "parquet"]
ASKED = "asked"
"""Column by which Ray checkpoints: the hash of what is asked, and the id."""
BATCHES_A_FILE = 4


@dataclass(frozen=True)
class Outcome:
    """What became of the lines; ``before`` had their reply already."""

    before: int
    answered: int
    failed: int


def answer_lines(
    lines: Sequence[Line],
    out: Path,
    pool: Pool,
    *,
    defaults: Mapping[str, Any],
    folder: Path,
    kind: Format = "jsonl",
    speech_folder: Path | None = None,
) -> Outcome:
    """Answer every line that has no reply in ``out`` yet.

    Args:
        lines: with absolute paths of media: a node has a working folder of its own.
        out: folder of the replies, which all nodes can write; made where there is none. Beside it is a folder with
            ``.checkpoint`` behind the name, by which a later run knows what is done.
        folder: the absolute path where those of the lines begin; all nodes can read it.
        kind: lines of JSON as ``--batch`` writes them, or Parquet with the columns of
            :func:`muomni.cluster.answer`.
        speech_folder: of WAV files; None speaks into the column ``speech``, where speech is asked for.

    Raises:
        OutputError: ``out`` is no folder of such replies, or has replies to other questions of the same ids.
        BundleError: there is no bundle.
    """
    out, checkpoint = out.absolute(), out.absolute().with_name(f"{out.name}.checkpoint")
    model = open_bundle(pool.bundle).manifest.identity
    done = _done(out, checkpoint)
    todo = [line for line in lines if line.key not in done]
    _refuse_changed([line for line in lines if line.key in done], done, model, out)
    before = len(lines) - len(todo)
    if not todo:
        return Outcome(before, 0, 0)

    context = DataContext.get_current().copy()
    context.checkpoint_config = CheckpointConfig(ASKED, str(checkpoint), delete_checkpoint_on_success=False)
    arguments = {
        "defaults": dict(defaults),
        "folder": folder.absolute(),
        "speech_folder": None if speech_folder is None else str(speech_folder.absolute()),
        "kind": kind,
    }
    with DataContext.current(context):
        # Reading and writing must find room beside actors that fill the nodes. Without a bound Ray would start a
        # process for each block at once, and two processes that start take longer than many blocks.
        rows = _rows_of_block(len(todo), pool)
        blocks = -(-len(todo) // rows)
        light, at_once = {"num_cpus": 0}, min(pool.bounds[1], blocks)
        source = Lines(todo, model, rows)
        dataset = ray.data.read_datasource(source, concurrency=at_once, override_num_blocks=blocks, **light)
        sink = Replies(str(out), kind)
        pool.map(dataset, LineAnswers, arguments).write_datasink(
            sink, ray_remote_args=light, concurrency=at_once
        )
    return Outcome(before, sink.answered, sink.failed)


class LineAnswers(Answers):
    """Requests by line of JSON."""

    def __init__(self, kind: Format, **others: Any) -> None:
        super().__init__(**others)
        self._kind = kind

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Columns id, request, asked and source -> those of :class:`Replies`."""
        rows = batch.to_pylist()
        results = self.results([self._wanted(row["source"]) for row in rows])
        names = [json.loads(row["id"]) for row in rows]
        places = [self.place(result, name) for result, name in zip(results, names, strict=True)]
        if self._kind == "parquet":
            made = [columns_of(*each) for each in zip(results, places, strict=True)]
            return table_of(made, batch.drop_columns(["source"]))
        texts = [
            line_of(result, name, row["request"], place)
            for row, result, name, place in zip(rows, results, names, places, strict=True)
        ]
        errors = [None if isinstance(result, Reply) else str(result) for result in results]
        return pa.table(
            {ASKED: batch[ASKED], LINE: pa.array(texts, pa.string()), "error": pa.array(errors, pa.string())}
        )

    def _wanted(self, source: str) -> Any:
        (line,) = read_requests(source.encode(), "", self._folder, self._defaults)
        return line.wanted


class Lines(Datasource):
    """Lines as a data set, a block of them at a time.

    Media are read for their hash where a block is made, by many nodes at once.
    """

    def __init__(self, lines: Sequence[Line], model: str, rows: int) -> None:
        super().__init__()
        self._lines, self._model, self._rows = lines, model, rows

    def estimate_inmemory_data_size(self) -> int:
        """Called by Ray: bytes."""
        return sum(len(line.source) for line in self._lines)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """Called by Ray: what makes the blocks."""
        tasks = []
        for begin in range(0, len(self._lines), self._rows):
            lines = self._lines[begin : begin + self._rows]
            metadata = BlockMetadata(
                num_rows=len(lines),
                size_bytes=sum(len(line.source) for line in lines),
                input_files=None,
                exec_stats=None,
            )
            tasks.append(ReadTask(_Block(lines, self._model), metadata))
        return tasks


@dataclass(frozen=True)
class _Block:
    lines: Sequence[Line]
    model: str

    def __call__(self) -> Iterator[pa.Table]:
        digests = [line.digest(self.model) for line in self.lines]
        keys = [line.key for line in self.lines]
        yield pa.table(
            {
                "id": pa.array(keys, pa.string()),
                "request": pa.array(digests, pa.string()),
                ASKED: pa.array([f"{d} {k}" for d, k in zip(digests, keys, strict=True)], pa.string()),
                "source": pa.array([line.source for line in self.lines], pa.string()),
            }
        )


class Replies(BlockBasedFileDatasink):
    """A folder of replies; counts them as they are written."""

    def __init__(self, path: str, kind: Format) -> None:
        super().__init__(path, file_format=kind)
        self._kind = kind
        self.answered = self.failed = 0

    def write(self, blocks: Iterable[Any], ctx: Any) -> tuple[int, int]:
        """Called by Ray on a node: replies and errors that were written."""
        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        super().write(iter(tables), ctx)
        rows = sum(table.num_rows for table in tables)
        answered = sum(table["error"].null_count for table in tables)
        return answered, rows - answered

    def write_block_to_file(self, block: BlockAccessor, file: Any) -> None:
        """Called by Ray."""
        table = block.to_arrow()
        if self._kind == "parquet":
            pq.write_table(table, file)
        else:
            file.write("".join(f"{line}\n" for line in table[LINE].to_pylist()).encode())

    def on_write_complete(self, write_result: Any) -> None:
        """Called by Ray in the program that asked."""
        super().on_write_complete(write_result)
        for answered, failed in write_result.write_returns:
            self.answered += answered
            self.failed += failed


def _rows_of_block(lines: int, pool: Pool) -> int:
    """Lines of a block, which becomes a file: a few batches, or fewer where all actors would not get their share."""
    share = -(-lines // (2 * pool.bounds[1]))
    return max(1, min(BATCHES_A_FILE * pool.rows, max(pool.slots, share)))


def _done(out: Path, checkpoint: Path) -> dict[str, str]:
    """Digests of what has been written, by the keys of the ids."""
    try:
        files = sorted(checkpoint.glob("*.parquet")) if checkpoint.is_dir() else []
        if not files and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(
                f"{out}: expected a folder of replies of an earlier run, or none; choose another --out"
            )
        pending = ".pending.parquet"  # not written to its end: Ray does it again
        whole = [file for file in files if not file.name.endswith(pending)]
        names = [name for file in whole for name in pq.read_table(file, columns=[ASKED])[ASKED].to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"{checkpoint}: cannot be read ({error}); choose another --out") from error
    return {name[DIGEST_LETTERS + 1 :]: name[:DIGEST_LETTERS] for name in names}


def _refuse_changed(lines: Sequence[Line], done: Mapping[str, str], model: str, out: Path) -> None:
    others = [line.key for line in lines if done[line.key] != line.digest(model)]
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise OutputError(
            f"{out}: its reply to the id {others[0]}{more} was made for another question, with other options or by "
            "another model; choose another --out"
        )
