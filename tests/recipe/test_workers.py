"""Two processes that share a training step compute what one computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recipe.perception import workers

SCRIPT = """
import json, torch
from recipe.perception import workers

workers.join()
parameters = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(4))]
if workers.rank() == 0:
    loss = (parameters[0] * 2).sum() + (parameters[1] * 3).sum()
else:
    loss = (parameters[0] * 5).sum()  # the other parameter has no gradient here
loss.backward()
stop = workers.add_gradients(parameters, stop=workers.rank() == 1)
figures = workers.merge({"both": 1.0, f"own {workers.rank()}": 2.0})
if workers.rank() == 0:
    gradients = [p.grad.flatten().tolist() for p in parameters]
    print(json.dumps({"gradients": gradients, "stop": stop, "figures": figures}), flush=True)
workers.leave()
"""


def test_gradients_figures_and_requests_to_stop_are_shared(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["gradients"] == [[7.0] * 6, [3.0] * 4]
    assert result["stop"] is True
    assert result["figures"] == {"both": 2.0, "own 0": 2.0, "own 1": 2.0}


@pytest.mark.parametrize("stop", [True, False])
def test_one_worker_shares_with_nobody(stop: bool) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.sum().backward()
    assert workers.add_gradients([parameter], stop) is stop
    assert parameter.grad is not None and parameter.grad.tolist() == [1.0, 1.0]
    assert workers.merge({"a": 1.0}) == {"a": 1.0}
    assert (workers.rank(), workers.count()) == (0, 1)
