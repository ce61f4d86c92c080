"""Figures for Prometheus, for whoever asks from this machine or from a network of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from newsletter.privacy.outlook import RequestFigures, Standing
from newsletter.web.context import is_ours, moment, services

routes = web.RouteTableDef()

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Not there for anybody else: a reverse proxy says in X-Forwarded-For whom it asks for."""
    if not is_ours(request):
        raise web.HTTPNotFound
    registry = CollectorRegistry(auto_describe=False)
    outlook, now = services(request).outlook, moment(request)
    registry.register(_Promises(await outlook.standings(now=now)))
    registry.register(_Requests(await outlook.requests(now=now)))
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})


class _Promises(Collector):
    """One sample for each promise."""

    def __init__(self, standings: Sequence[Standing]) -> None:
        self._standings = standings

    def collect(self) -> Iterator[Metric]:
        due = GaugeMetricFamily("newsletter_promise_due_rows", "Rows that the next run removes.", labels=["promise"])
        overdue = GaugeMetricFamily(
            "newsletter_promise_overdue_rows", "Rows that should have been removed already.", labels=["promise"]
        )
        oldest = GaugeMetricFamily(
            "newsletter_promise_oldest_overdue_seconds", "For how long the first of those has been due.", labels=["promise"]
        )
        last_run = GaugeMetricFamily(
            "newsletter_promise_last_run_timestamp_seconds", "When its job last ended.", labels=["promise"]
        )
        for each in self._standings:
            due.add_metric([each.promise], each.due)
            overdue.add_metric([each.promise], each.overdue)
            oldest.add_metric([each.promise], each.oldest_overdue_s)
            if each.last_run:
                last_run.add_metric([each.promise], each.last_run.timestamp())
        yield from (due, overdue, oldest, last_run)


class _Requests(Collector):
    """The register of requests about people's data; one may be counted under several states."""

    def __init__(self, figures: RequestFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "newsletter_rights_requests",
            "Requests that wait for an answer: all, those past their day, those whose mail a relay refused.",
            labels=["state"],
        )
        for state, count in vars(self._figures).items():
            waiting.add_metric([state], count)
        yield waiting
