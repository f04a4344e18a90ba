"""The sessions of one bundle's graphs, each made when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from muomni.bundle.contract import graph_contracts
from muomni.bundle.folder import Bundle
from muomni.errors import BundleError
from muomni.ort.device_memory import DeviceMemory
from muomni.ort.placement import by_provider
from muomni.ort.providers import Device
from muomni.ort.session import GraphSession
from muomni.ort.threads import SessionThreads, ThreadPolicy


class Sessions:
    """Safe to share between threads.

    Args:
        memory, cuda_graphs: of the sessions, see :class:`muomni.ort.session.GraphSession`.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device,
        threads: ThreadPolicy,
        memory: DeviceMemory | None,
        cuda_graphs: bool,
    ) -> None:
        self._bundle, self._device, self._threads = bundle, device, threads
        self._memory, self._cuda_graphs = memory, cuda_graphs
        self._contracts = graph_contracts(bundle.manifest)
        self._made: dict[tuple[str, SessionThreads], GraphSession] = {}
        self._lock = threading.Lock()

    def of(self, graph: str) -> GraphSession:
        """The session of one graph, by its name in the manifest.

        Raises:
            BundleError: no such graph, or its file changed.
        """
        if graph not in self._contracts:
            raise BundleError(f"{self._bundle.folder}: no stage of the manifest has a graph {graph!r}")
        return self._once(graph, self._threads_of(graph))

    def of_many_rows(self, graph: str) -> GraphSession:
        """The session of a decoder for steps of many rows.

        On the CPU a small one gets a session of its own with more threads: with several rows a step has work enough
        for them, with one it has not.
        """
        one = self.of(graph)
        return one if one.memory is not None else self._once(graph, self._threads.for_steps_of_many_rows())

    def providers(self, graphs: Iterable[str] | None = None) -> dict[str, list[str]]:
        """Execution providers of graphs, as their sessions report them; None takes all loaded so far."""
        with self._lock:
            loaded = {graph: list(session.providers) for (graph, _), session in self._made.items()}
        return {
            name: loaded[name] for name in sorted(loaded if graphs is None else set(graphs) & set(loaded))
        }

    def placement(self) -> dict[str, dict[str, dict[str, int]]]:
        """Of the graphs loaded so far that run on CUDA: by provider, how many nodes of each operator it runs."""
        with self._lock:
            return {
                graph: by_provider(session.nodes)
                for (graph, _), session in self._made.items()
                if session.nodes
            }

    def clear(self) -> None:
        """Let go of all of them."""
        with self._lock:
            self._made.clear()

    def _threads_of(self, graph: str) -> SessionThreads:
        manifest = self._bundle.manifest
        decoders = {stage.graph for stage in manifest.decoders}
        if (text := manifest.text_input) is not None:
            decoders |= {text.phonemizer_graph, text.context_graph}  # a word or a phoneme at a time
        if graph not in decoders:
            return self._threads.for_passes()
        return self._threads.for_steps(manifest.graphs[graph].weight_bytes)

    def _once(self, graph: str, threads: SessionThreads) -> GraphSession:
        with self._lock:
            session = self._made.get((graph, threads))
            if session is None:
                session = self._made[graph, threads] = self._make(graph, threads)
            return session

    def _make(self, graph: str, threads: SessionThreads) -> GraphSession:
        # Only what is run step by step, in memory that stays where it is, can be captured.
        captures = self._cuda_graphs and graph in {stage.graph for stage in self._bundle.manifest.decoders}
        file, contract = self._bundle.graph_file(graph), self._contracts[graph]
        return GraphSession(file, contract, self._device, threads, self._memory, captures)
