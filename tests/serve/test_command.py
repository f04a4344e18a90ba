"""The command ``muomni-serve``."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from muomni.cli.serve import main

READY = re.compile(r"demo is ready at (https?)://127\.0\.0\.1:(\d+)")
COMMAND = [sys.executable, "-m", "muomni.cli.serve"]


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """The command, once it is ready: its process, its address and what it said."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MUOMNI_")}
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments], stderr=subprocess.PIPE, text=True, env={**clean, **environment}
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := READY.search(line):
                yield process, f"{found[1]}://127.0.0.1:{found[2]}", said
                break
        else:
            pytest.fail("".join(said))
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_it_serves_until_it_is_told_to_stop() -> None:
    with started() as (process, address, said):
        with urllib.request.urlopen(f"{address}/ready") as answer:
            assert json.load(answer) == {"status": "ready", "model": "demo"}
        assert not any("warning" in line for line in said)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
        assert process.stderr is not None and "Traceback" not in process.stderr.read()


def test_a_key_may_come_from_the_environment() -> None:
    with started(MUOMNI_API_KEY="secret") as (process, address, _):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}/v1/models")
        request = urllib.request.Request(f"{address}/v1/models", headers={"Authorization": "Bearer secret"})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_a_certificate_of_its_own_is_recognised_by_its_fingerprint() -> None:
    pytest.importorskip("cryptography")
    import hashlib

    with started("--tls-self-signed") as (_, address, said):
        port = int(address.rpartition(":")[2])
        pem = ssl.get_server_certificate(("127.0.0.1", port))
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest().hex(":").upper()
        assert any(digest in line for line in said)
        context = ssl.create_default_context(cadata=pem)
        with urllib.request.urlopen(f"{address}/ready", context=context) as answer:
            assert answer.status == 200


def test_what_cannot_be_served_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, reason in (
            (["--port", port], "choose another --port"),
            (["--host", "192.0.2.1"], "--host"),
            (["--tls-cert", "there-is-none.pem"], "--tls-key"),
            (["--api-key", " "], "api key"),
            (["--model", str(tmp_path)], "bundle"),
        ):
            with pytest.raises(SystemExit) as left:
                main(arguments)
            said = capfd.readouterr().err
            assert left.value.code in (1, 2) and reason in said and "Traceback" not in said


def test_everyone_may_not_come_in_unnoticed() -> None:
    code = "import socket; s = socket.socket(); s.bind(('0.0.0.0', 0))"
    if subprocess.run([sys.executable, "-c", code], check=False).returncode:
        pytest.skip("no other address can be bound here")
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--host", "0.0.0.0"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        assert any("warning: everyone" in process.stderr.readline() for _ in range(3))
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_help_needs_none_of_the_servers_packages() -> None:
    code = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "for name in ('fastapi', 'uvicorn', 'soxr', 'numpy'): sys.modules[name] = None\n"
        "from muomni.cli.serve import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--tls-self-signed" in result.stdout


def test_a_missing_package_has_its_install_line() -> None:
    code = "import sys; sys.argv[1:] = ['--port', '0']; sys.modules['fastapi'] = None\n"
    code += "from muomni.cli.serve import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and 'pip install "muomni[serve,cpu]"' in result.stderr
