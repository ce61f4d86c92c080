"""Logs: one JSON object a line on stderr, a constant event name with ids, and no person in it.

Three lines of defence: our own events carry ids alone; errors are logged as class and place, with their text only where the
text is ours; and whatever is rendered, by us or by a library, is scrubbed of mail addresses, tokens and full network
addresses.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import sys
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from newsletter.core.errors import NewsletterError

# In a local part may stand nearly everything (RFC 5322 section 3.2.3). The look-behind makes a match begin where such a run
# begins: else a long run without an @ would take quadratic time.
_LOCAL = r"""(?:"[^"\n]{1,64}"|(?<![^\s"<>()\[\],;:@])[^\s"<>()\[\],;:@]+)"""
_DOMAIN = r"""[^\s"'<>()\[\]{}\\,;:@/?&]*"""
_ADDRESS = re.compile(rf"{_LOCAL}(?:@|%(?:25)*40){_DOMAIN}")
_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{40,}(?![A-Za-z0-9_-])")
_IPV4 = re.compile(r"(?<!\d)(?<!\d\.)(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}(?!\d)(?!\.\d)")
_IPV6 = re.compile(r"(?<![0-9A-Fa-f:.])[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:]*(?![0-9A-Fa-f:])")
_BEFORE_DETAILS = re.compile(r"[^\n<(]*")

Logger = structlog.stdlib.BoundLogger


def network_of(address: str) -> str:
    """What of a network address may be kept in logs and counters: IPv4 /24, IPv6 /48. Empty for what is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))


def scrub(text: str) -> str:
    """The text without mail addresses, tokens and full network addresses."""
    text = _ADDRESS.sub("[address]", text)
    text = _TOKEN.sub("[token]", text)
    text = _IPV4.sub(r"\1.0", text)
    return _IPV6.sub(_shorten_ipv6, text)


def _shorten_ipv6(match: re.Match[str]) -> str:
    """A colon of the sentence may stand before or behind: `2001:db8::1: connection refused`."""
    for before, behind in (("", ""), ("", ":"), (":", ""), (":", ":")):
        address = match[0].removeprefix(before).removesuffix(behind)
        if network := network_of(address):
            return before + network.partition("/")[0] + behind
    return match[0]


def _place_of_error(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by class and place. Texts of foreign errors stay out: they quote what people typed."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        if isinstance(error, NewsletterError):
            event["reason"] = str(error)
        frames = traceback.extract_tb(error.__traceback__)
        event["at"] = [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    return event


def _asyncio_in_brief(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Of what asyncio says, what went wrong alone: behind it stand the texts of errors and the arguments of calls."""
    if event.get("logger") == "asyncio":
        event["event"] = _BEFORE_DETAILS.match(str(event["event"]))[0].rstrip()  # type: ignore[index]  # it matches nothing too
    return event


def _scrubbed(value: Any) -> Any:
    match value:
        case str():
            return scrub(value)
        case dict():
            return {scrub(str(key)): _scrubbed(each) for key, each in value.items()}
        case list() | tuple():
            return [_scrubbed(each) for each in value]
        case None | bool() | int() | float():
            return value
    return scrub(repr(value))


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """One line of JSON. All that is in it is scrubbed, so that no processor before has to be trusted.

    Before it becomes JSON: behind the escape of a line break, an address would take the escape's letter with it.
    """
    return json.dumps(_scrubbed(dict(event)), ensure_ascii=False)


def set_up_logs(level: str, *, process: str) -> None:
    """Route structlog and the standard library's logging, libraries included, through the same scrubbed lines."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.contextvars.merge_contextvars,
        _place_of_error,
        _asyncio_in_brief,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    for quiet in ("apscheduler", "asyncio", "aiohttp.access"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


def get_logger(name: str) -> Logger:
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger
