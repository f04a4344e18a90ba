"""What a cluster of a size that nobody has here would take, from figures."""

from __future__ import annotations

from typing import Any

from .test_tables import load as load  # the fixture

FOUND: dict[str, Any] = {
    "conversations": {"cores_of_one": {"replica": 0.05, "proxy": 0.01}},
    "cost": {"memory_mb": {"replica": {"pss": 200}, "whole_node_pss": 1200}},
}


def test_a_node_is_as_large_as_its_proxy_can_feed(load: Any) -> None:
    (small, large) = (load("cluster").simulate(FOUND, count) for count in (100, 10_000))
    assert (small["a_replica"], small["replicas"], small["nodes"]) == (10, 10, 2)
    assert (large["replicas"], large["nodes"], large["cores_a_node"]) == (1000, 200, 5 + 2)
    assert large["decides"] == "the proxy" and large["dollars_an_hour"] == round(200 * 7 * 0.04, 2)
    assert large["memory_gb"] == round((1000 * 200 + 200 * 1000) / 1024, 1)


def test_where_proxies_are_light_the_cores_of_a_node_decide(load: Any) -> None:
    light = {**FOUND, "conversations": {"cores_of_one": {"replica": 0.05, "proxy": 0.0001}}}
    row = load("cluster").simulate(light, 10_000)
    assert row["cores_a_node"] == 64 and row["nodes"] == 17 and row["decides"] == "the cores of a node"


def test_the_table_of_losses_names_what_failed(load: Any) -> None:
    tally = {"answered": 3, "failed": 2, "errors": {"503 replica_lost": 2}, "longest_s": 0.5}
    table = load("cluster").losses({"a replica is killed": {"once": tally}, "a batch": {"missing": 0}})
    assert table.splitlines()[2:] == ["| a replica is killed | once | 3 | 2 × 503 replica_lost | 0.5 s |"]
