"""The page "Run on a cluster": what it shows runs, and its files are understood."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.docs.blocks import Block, blocks_of, commands_of
from tests.docs.test_pages import run_python

from muomni.cli.run import main

from .conftest import ENVIRONMENT, SAMPLES

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"
BLOCKS = blocks_of(PAGE)
BATCH = PAGE.with_name("batch.md")
# Fields of KubeRay's RayService and RayCluster that the manifest may use, by what holds them. Its schema is in no
# package that can be installed here, so this is a check of spelling, by its reference.
FIELDS = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {"serveConfigV2", "rayClusterConfig", "upgradeStrategy"},
    "upgradeStrategy": {"type"},
    "rayClusterConfig": {
        "rayVersion",
        "enableInTreeAutoscaling",
        "gcsFaultToleranceOptions",
        "headGroupSpec",
        "workerGroupSpecs",
    },
    "gcsFaultToleranceOptions": {"redisAddress", "redisPassword"},
    "headGroupSpec": {"rayStartParams", "template"},
    "workerGroupSpecs": {
        "groupName",
        "replicas",
        "minReplicas",
        "maxReplicas",
        "rayStartParams",
        "template",
    },
}


def titled(name: str) -> Any:
    """A file of the page, parsed."""
    import yaml

    (block,) = [block for block in BLOCKS if block.title == name]
    return yaml.safe_load(block.body)


def check_serve_config(config: dict[str, Any]) -> None:
    """By Ray's own class, and its arguments by ours."""
    from ray.serve.schema import ServeDeploySchema

    from muomni import cluster

    parsed = ServeDeploySchema.model_validate(config)
    for app in parsed.applications:
        module, _, name = app.import_path.partition(":")
        assert module == "muomni.cluster" and hasattr(cluster, name)
        arguments = cluster.Arguments.model_validate(app.args)
        assert [deployment.name for deployment in app.deployments] == ["muomni"]
        assert arguments.min_replicas <= arguments.max_replicas


def python_blocks() -> list[Block]:
    return [block for block in BLOCKS if block.kind == "python"]


def test_python_of_the_page_prints_what_it_says(
    cluster: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sample in SAMPLES.iterdir():
        shutil.copy(sample, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert python_blocks()
    for block in python_blocks():
        run_python(block, {}, f"cluster.md:{block.line}")


def test_commands_of_the_page_run(cluster: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sample in SAMPLES.iterdir():
        shutil.copy(sample, tmp_path)
    (questions,) = [block for block in blocks_of(BATCH) if block.title == "questions.jsonl"]
    (tmp_path / "questions.jsonl").write_text(questions.body, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in BLOCKS if block.kind == "bash" and "muomni-run" in block.body]
    for command, _ in commands_of(block):
        name, *arguments = shlex.split(command)
        assert name == "muomni-run"
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0, command
    assert sorted(file.name for file in (tmp_path / "speech").iterdir()) == [
        "picture.wav",
        "speech.wav",
        "sum.wav",
    ]


def test_arguments_told_are_those_that_there_are(cluster: int) -> None:
    from muomni.cluster import Arguments

    table = PAGE.read_text(encoding="utf-8").partition("| argument |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == set(Arguments.model_fields)


def test_the_configuration_is_understood(cluster: int) -> None:
    config = titled("muomni.yaml")
    check_serve_config(config)
    variable = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
    variables = config["controller_options"]["runtime_env"]["env_vars"]
    assert variables == {variable: ENVIRONMENT[variable]}


def test_the_manifest_is_understood(cluster: int) -> None:
    import yaml

    manifest = titled("rayservice.yaml")
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayService")
    spec = manifest["spec"]
    ray_cluster = spec["rayClusterConfig"]
    workers = ray_cluster["workerGroupSpecs"]
    assert set(manifest) == FIELDS[""] and set(spec) == FIELDS["spec"]
    assert spec["upgradeStrategy"]["type"] in ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")
    for name in ("rayClusterConfig", "gcsFaultToleranceOptions", "headGroupSpec"):
        holder = spec if name in spec else ray_cluster
        assert set(holder[name]) == FIELDS[name], name
    assert all(set(group) == FIELDS["workerGroupSpecs"] for group in workers)

    check_serve_config(yaml.safe_load(spec["serveConfigV2"]))
    application = yaml.safe_load(spec["serveConfigV2"])["applications"][0]
    (docker,) = [block for block in BLOCKS if block.kind == "dockerfile"]
    assert f"rayproject/ray:{ray_cluster['rayVersion']}-" in docker.body
    assert f"COPY bundle {application['args']['model']}\n" in docker.body
    for group in (ray_cluster["headGroupSpec"], *workers):
        assert all(
            isinstance(value, str) for value in group["rayStartParams"].values()
        )  # KubeRay takes texts
        (container,) = group["template"]["spec"]["containers"]
        assert set(container) == {"name", "image", "env", "resources"}
        variables = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert (
            variables.items()
            >= {
                name: value for name, value in ENVIRONMENT.items() if name.startswith("RAY_SERVE_HTTP")
            }.items()
        )
        assert "MUOMNI_API_KEY" in variables
        limits = container["resources"]["limits"]
        assert int(group["rayStartParams"]["num-cpus"]) <= int(limits["cpu"]) - 2
    a_node = int(workers[0]["rayStartParams"]["num-cpus"]) // application["args"]["num_cpus"]
    assert application["deployments"][0]["max_replicas_per_node"] <= a_node
    assert application["args"]["max_replicas"] <= a_node * workers[0]["maxReplicas"]
    assert workers[0]["template"]["spec"]["terminationGracePeriodSeconds"] > application["args"]["grace_s"]
