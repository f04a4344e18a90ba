"""Prometheus metrics; named as vLLM's and vLLM-Omni's where they mean the same, with ``muomni`` before them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from muomni.engine.thread import EngineThread
from muomni.events import Event, Finished, SpeechDelta, TextDelta
from muomni.requests import Request

SECONDS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TOKEN_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
disable_created_metrics()  # type: ignore[no-untyped-call]  # the time at which each figure was begun, in as many lines again


class Metrics:
    """The metrics of one server; each server has a registry of its own."""

    def __init__(self, engine: EngineThread) -> None:
        self.registry = registry = CollectorRegistry()
        registry.register(_EngineGauges(engine))

        def histogram(name: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
            return Histogram(f"muomni:{name}", text, buckets=buckets, registry=registry)

        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"muomni:{name}", text, labels, registry=registry)

        self.prompt_tokens = counter("prompt_tokens", "Positions of prompts, media included.")
        self.cached_tokens = counter("prefix_cache_hits", "Positions of prompts taken from the prefix cache.")
        self.generation_tokens = counter("generation_tokens", "Ids generated.")
        self.success = counter("request_success", "Requests that ended, by reason.", ("finished_reason",))
        self.failures = counter("request_failure", "Requests that failed, by kind of error.", ("error",))
        self.refused = counter("request_refused", "Requests refused for a full queue.")
        self.first_token = histogram("time_to_first_token_seconds", "From the request to its first text.")
        self.per_token = histogram(
            "request_time_per_output_token_seconds", "Seconds an id, after the first.", TOKEN_SECONDS
        )
        self.whole = histogram("e2e_request_latency_seconds", "From the request to its end.")
        self.prompt_size = histogram("request_prompt_tokens", "Positions of a prompt.", TOKENS)
        self.reply_size = histogram("request_generation_tokens", "Ids of a reply.", TOKENS)
        self.first_packet = histogram("audio_ttfp_seconds", "From the request to its first sound.")
        self.real_time_factor = histogram(
            "audio_rtf", "Seconds to make a second of speech, from the first text on.", RATIOS
        )
        self.audio_seconds = counter("audio_duration_seconds", "Seconds of speech made.")
        self.underruns = counter("audio_underrun", "Replies whose speech came later than it would be played.")
        self.barge_ins = counter("barge_ins", "Replies that somebody's speech has ended.")
        self.websockets = Gauge(
            "muomni:num_websocket_connections", "Open websockets.", ("handler",), registry=registry
        )
        self.frames = counter("websocket_frames", "Messages of websockets.", ("handler", "direction"))
        self.http = counter("http_requests", "Requests of HTTP.", ("method", "handler", "status"))


class AnswerMeter:
    """Watches the events of one answer."""

    def __init__(self, metrics: Metrics, request: Request) -> None:
        self._metrics, self._request = metrics, request
        self._start = time.perf_counter()
        self._first_text = self._first_sound = 0.0
        self._speech_s = 0.0
        self._late = self._over = False

    def see(self, event: Event) -> None:
        now = time.perf_counter()
        if isinstance(event, TextDelta):
            if not self._first_text:
                self._first_text = now
                self._metrics.first_token.observe(now - self._start)
        elif isinstance(event, SpeechDelta):
            if not self._first_sound:
                self._first_sound = now
                self._metrics.first_packet.observe(now - self._start)
            elif now > self._first_sound + self._speech_s:
                self._late = True
            self._speech_s += len(event.samples) / event.sample_rate
        elif isinstance(event, Finished):
            self._finished(event, now)
        else:
            self._over = True
            self._metrics.failures.labels(type(event.error).__name__).inc()

    def end(self, reason: str) -> None:
        """Ended without a last event."""
        if not self._over:
            self._over = True
            self._metrics.success.labels(reason).inc()

    def _finished(self, event: Finished, now: float) -> None:
        self._over = True
        metrics, reply = self._metrics, event.reply
        metrics.success.labels(reply.finish_reason).inc()
        metrics.whole.observe(now - self._start)
        usage = reply.usage
        if usage.prompt_tokens:
            metrics.prompt_tokens.inc(usage.prompt_tokens)
            metrics.cached_tokens.inc(usage.cached_tokens)
            metrics.generation_tokens.inc(usage.completion_tokens)
            metrics.prompt_size.observe(usage.prompt_tokens)
            metrics.reply_size.observe(usage.completion_tokens)
            if usage.completion_tokens > 1:
                metrics.per_token.observe(reply.timings["decode"] / (usage.completion_tokens - 1))
        if self._speech_s:
            metrics.audio_seconds.inc(self._speech_s)
            metrics.real_time_factor.observe((now - (self._first_text or self._start)) / self._speech_s)
            if self._late:
                metrics.underruns.inc()


class _EngineGauges(Collector):
    """What the engine says of itself when it is asked."""

    def __init__(self, engine: EngineThread) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        engine = self._engine
        for name, text, value in (
            ("num_requests_running", "Requests that are being answered.", engine.running),
            ("num_requests_waiting", "Requests that are prepared, or wait for a slot.", engine.waiting),
            ("num_slots", "Requests that can decode together.", engine.slots),
        ):
            yield GaugeMetricFamily(f"muomni:{name}", text, value)
