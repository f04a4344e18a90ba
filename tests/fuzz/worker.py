"""The process in which mutated files are read: it may die, hang or grow, and the driver sees it.

Lines of JSON in: the kind and the path of a file; out: what came of it, and the most memory that was used.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

from tests.fuzz.kinds import KINDS

from muomni.errors import MuomniError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

ADDRESS_SPACE_BYTES = 8 << 30  # so that a bomb ends this process and not the machine


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)  # decoders speak there
    warnings.simplefilter("ignore")
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    with tempfile.TemporaryDirectory() as here:
        os.chdir(here)
        tempfile.tempdir = os.environ["TMPDIR"] = here
        answers.write("ready\n")
        for line in sys.stdin:
            kind, path = json.loads(line)
            outcome = "read"
            try:
                KINDS[kind].read(Path(path))
            except MuomniError:
                outcome = "refused"
            except BaseException:
                outcome = f"not a MuomniError: {traceback.format_exc(limit=-3, chain=False)}"
            left = [file for folder in (here, Path(path).parent) for file in Path(folder).iterdir()]
            if left != [Path(path)]:
                outcome = f"files were left: {left}"
            answers.write(json.dumps([outcome, _peak_bytes()]) + "\n")


def _peak_bytes() -> int:
    """Of this process since it began."""
    if resource is None:
        return 0
    try:
        # Not ru_maxrss: on Linux a process begins with that of the one that started it, here a whole test run.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
