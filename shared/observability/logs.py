"""JSON logs on stdout (O3): timestamp, level, module, event, context, and a correlation id where one is bound.

``log.info("order_sent", order_id=…)``: a constant past-tense name and ids. error = someone must look;
warning = handled, unusual; info = a state changed; debug = off; critical = this process is halting.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from shared.observability.redaction import redact_value

_TOP_LEVEL = ("timestamp", "level", "module", "event", "correlation_id")
_CHATTY_LIBRARIES = ("httpx", "httpcore", "websockets", "urllib3", "asyncio", "aiohttp.access")
"""They log addresses with their query strings, or every frame."""


def get_logger() -> Any:
    """Return a logger; its lines carry the process's service name as ``module``."""
    return structlog.get_logger()


def bind_correlation(correlation_id: str) -> None:
    """Put this id on every line of the current task: one thread from signal to settlement."""
    structlog.contextvars.bind_contextvars(correlation_id=correlation_id)


def configure_logs(service: str, *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line of this process to ``stream`` (stdout), redacted; also those of libraries and of a crash."""
    threshold = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _renderer(service),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: structlog.WriteLogger(stream if stream is not None else sys.stdout),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_LibraryHandler()]
    root.setLevel(max(threshold, logging.INFO))
    for name in _CHATTY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread_crash


def _renderer(service: str) -> Callable[[Any, str, MutableMapping[str, Any]], str]:
    def render(_logger: object, _method: str, event_dict: MutableMapping[str, Any]) -> str:
        fields = dict(event_dict)
        fields.setdefault("module", service)
        fields["level"] = str(fields["level"]).upper()
        line = {name: fields.pop(name) for name in _TOP_LEVEL if name in fields}
        line["context"] = fields
        return json.dumps(redact_value(line), ensure_ascii=False)

    return render


class _LibraryHandler(logging.Handler):
    """Passes the lines of libraries through the same renderer, so they are redacted, too."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info or None)


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    get_logger().critical("process_crashed", exc_info=(kind, error, trace))


def _log_thread_crash(arguments: threading.ExceptHookArgs) -> None:
    error = arguments.exc_value
    assert error is not None
    get_logger().critical("thread_crashed", exc_info=(arguments.exc_type, error, arguments.exc_traceback))


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    error = unraisable.exc_value
    info = (type(error), error, unraisable.exc_traceback) if error is not None else None
    get_logger().error("exception_not_raisable", where=unraisable.err_msg, exc_info=info)
