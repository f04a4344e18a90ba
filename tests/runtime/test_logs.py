"""The logger ``muomni``: silent until somebody listens."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

import muomni
from muomni import logs


def test_what_is_loaded_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=logs.NAME):
        muomni.Omni.load(device="cpu").generate("Hello!", max_new_tokens=1)
    assert any("loaded thinker" in message for message in caplog.messages)


def test_nobody_is_bothered_who_does_not_listen() -> None:
    code = "import logging\nfrom muomni import logs\nlogs.warning('speech failed')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "")


def test_the_logging_module_is_not_loaded_for_it() -> None:
    code = "import sys\nfrom muomni import logs\nlogs.debug('x')\nraise SystemExit('logging' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
