"""Is this process well, may it be sent traffic, and how does the whole stand?"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import accumulate

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from recall.clock import SECOND, elapsed_seconds
from recall.errors import RecallError
from recall.store.call_times import BOUNDS_SECONDS, CallTimes
from recall.store.measures import Measures, measure
from recall.store.migrations import is_current
from recall.web.context import Web, refuse
from recall.web.signatures import may_read_metrics

KEEP_SECONDS = 30.0  # a look at the store reads whole tables


class Metrics:
    """What Prometheus reads: the store's counts, and this process's own requests. Never about one person."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("route", "status")
        self._requests = Counter("recall_http_requests", "Requests answered", labels, registry=self.registry)
        self._seconds = Histogram("recall_http_seconds", "Time to answer", ("route",), registry=self.registry)

    def __call__(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def watch(self, web: Web) -> None:
        self.registry.register(StoreCounts(web))


class StoreCounts(Collector):
    """Looks at the store when asked, at most every half minute."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._lock = threading.Lock()
        self._kept: tuple[float, Measures] | None = None

    def describe(self) -> Iterable[Metric]:
        return []  # the store is not asked while this is being registered

    def collect(self) -> Iterator[Metric]:
        seen = self._look()
        yield _by("recall_due", "Enrolments due now", "journey", seen.due)
        yield _by("recall_oldest_due_seconds", "Age of the longest overdue", "journey", seen.oldest_due_seconds)
        yield _by("recall_in_doubt", "Messages nobody knows about", "journey", seen.in_doubt)
        yield _by("recall_source_lag_seconds", "Up to when a source tells, ago", "source", seen.source_lag_seconds)
        sends = GaugeMetricFamily("recall_sends", "Messages", labels=("journey", "channel", "state"))
        for journey, channel, state, count in seen.sends:
            sends.add_metric((journey, channel, state), count)
        yield sends
        decisions = GaugeMetricFamily("recall_decisions", "Decisions", labels=("journey", "action", "reason"))
        for journey, action, reason, count in seen.decisions:
            decisions.add_metric((journey, action, reason), count)
        yield decisions
        yield GaugeMetricFamily("recall_receipts_waiting", "Receipts in the inbox", seen.receipts_waiting)
        yield GaugeMetricFamily("recall_replies_to_read", "Replies that wait for a person", seen.reviews_waiting)
        yield GaugeMetricFamily("recall_kill_switch", "1 while nothing is sent at all", float(seen.kill_switch))
        yield GaugeMetricFamily("recall_journeys_paused", "Paused journeys", seen.paused)
        yield from _call_times(seen.provider_calls)
        if self._web.beat is not None:
            age = self._web.beat.age_seconds
            yield GaugeMetricFamily("recall_reconciler_age_seconds", "Since the reconciler came through", age)

    def _look(self) -> Measures:
        with self._lock:
            if self._kept is None or elapsed_seconds() - self._kept[0] > KEEP_SECONDS:
                with self._web.setup.store.reading() as connection:
                    self._kept = elapsed_seconds(), measure(connection, now=self._web.setup.clock.now())
            return self._kept[1]


def _call_times(calls: dict[str, CallTimes]) -> Iterator[Metric]:
    """Of all workers together; a call is one chunk of messages."""
    text = "Time a provider took to answer one chunk of messages"
    seconds = HistogramMetricFamily("recall_provider_call_seconds", text, labels=("provider",))
    messages = CounterMetricFamily("recall_provider_messages", "Messages handed to a provider", labels=("provider",))
    for provider, each in calls.items():
        within = zip((*map(str, BOUNDS_SECONDS), "+Inf"), (*accumulate(each.within), each.calls), strict=True)
        seconds.add_metric((provider,), list(within), each.micros / SECOND)
        messages.add_metric((provider,), each.messages)
    yield seconds
    yield messages


def _by(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def routes(web: Web, metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        """The process answers."""
        return JSONResponse({"ok": True})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """Store current, reconciler alive, spool empty; 503 and what is wrong otherwise."""
        wrong = await run_in_threadpool(what_is_wrong, web)
        return JSONResponse({"ok": not wrong, "wrong": wrong}, 503 if wrong else 200)

    @router.get("/metrics")
    async def read_metrics(request: Request) -> Response:
        if not may_read_metrics(web, request):
            raise refuse(404, "not here")
        text = await run_in_threadpool(generate_latest, metrics.registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    return router


def what_is_wrong(web: Web) -> list[str]:
    """One word per trouble: store, schema, reconciler, spool."""
    wrong = []
    try:
        web.setup.store.fact("simulated")
        if not is_current(web.setup.store.engine):
            wrong.append("schema")
    except (RecallError, OSError):
        wrong.append("store")
    except Exception:  # any other trouble of a database driver is the store's too
        wrong.append("store")
    if web.beat is not None and not web.beat.is_alive:
        wrong.append("reconciler")
    if any(web.setup.spool_dir.glob("*.jsonl")):
        wrong.append("spool")
    return wrong
