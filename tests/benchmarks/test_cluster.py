"""What a cluster of a size that nobody has here would take, from figures."""

from __future__ import annotations

from typing import Any

from .test_tables import load as load  # the fixture

FOUND: dict[str, Any] = {
    "conversations": {"cores_of_one": {"replica": 0.05, "proxy": 0.01}},
    "cost": {"memory_mb": {"replica": {"pss": 200}, "whole_node_pss": 1200}},
}


def test_replicas_follow_from_the_cores_of_a_conversation(load: Any) -> None:
    (small, large) = (load("cluster").simulate(FOUND, count) for count in (100, 10_000))
    assert (small["a_replica"], small["replicas"], small["nodes"]) == (10, 10, 2)
    assert (
        large["replicas"] == 1000 and large["nodes"] == 200
    )  # 50 conversations a proxy; by replicas it were 72
    assert large["breaks_first"] == "a proxy"
    assert large["memory_gb"] == round((1000 * 200 + 200 * 1000) / 1024, 1)


def test_where_proxies_are_light_the_cores_decide(load: Any) -> None:
    light = {**FOUND, "conversations": {"cores_of_one": {"replica": 0.05, "proxy": 0.0001}}}
    row = load("cluster").simulate(light, 10_000)
    assert row["nodes"] == 72 and row["breaks_first"] == "cores"


def test_the_table_of_losses_names_what_failed(load: Any) -> None:
    tally = {"answered": 3, "failed": 2, "errors": {"503 replica_lost": 2}, "longest_s": 0.5}
    table = load("cluster").losses({"a replica is killed": {"once": tally}, "a batch": {"missing": 0}})
    assert table.splitlines()[2:] == ["| a replica is killed | once | 3 | 2 × 503 replica_lost | 0.5 s |"]
