"""One JSON object a line with the fields of O3, whoever wrote it."""

import io
import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared.observability.logs import bind_correlation, configure_logs, get_logger
from shared.observability.redaction import redact

REPOSITORY = Path(__file__).parents[4]

pytestmark = pytest.mark.usefixtures("process_logs")


@pytest.fixture
def lines():
    stream = io.StringIO()
    configure_logs("probe", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_promised_fields_and_no_others(lines):
    get_logger().info("order_sent", order_id="0x01", price="0.52")
    (line,) = lines()
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.utcoffset() == timedelta(0)
    assert line == {
        "level": "INFO",
        "module": "probe",
        "event": "order_sent",
        "context": {"order_id": "0x01", "price": "0.52"},
    }


def test_debug_is_off_unless_asked_for(lines):
    get_logger().debug("detail")
    assert lines() == []


def test_critical_is_said_as_such(lines):
    get_logger().critical("halting")
    assert lines()[0]["level"] == "CRITICAL"


def test_a_correlation_id_stands_beside_the_event(lines):
    bind_correlation("sig-1")
    get_logger().info("order_sent")
    assert lines()[0]["correlation_id"] == "sig-1"


def test_the_lines_of_libraries_look_the_same(lines):
    logging.getLogger("some.package").warning("it went %s", "wrong")
    (line,) = lines()
    assert (line["module"], line["level"], line["event"]) == ("probe", "WARNING", "it went wrong")
    assert line["context"]["library"] == "some.package"


def test_libraries_that_print_addresses_are_kept_quiet(lines):
    logging.getLogger("httpx").info("GET https://host/?api_key=1")
    assert lines() == []


def test_a_traceback_is_redacted(lines):
    redact("canary-value")
    try:
        int("canary-value and postgresql://u:hunter22@h/d")
    except ValueError:
        get_logger().error("failed", exc_info=True)
    (line,) = lines()
    assert "ValueError" in line["context"]["exception"]
    assert "canary-value" not in json.dumps(line)
    assert "hunter22" not in json.dumps(line)


CRASH = """
from shared.observability.logs import configure_logs
from shared.observability.redaction import redact
redact("canary-value")
configure_logs("probe")
raise RuntimeError("canary-value")
"""


def test_a_crash_nobody_catches_is_one_redacted_line():
    crashed = subprocess.run(
        [sys.executable, "-c", CRASH], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert crashed.stderr == ""
    line = json.loads(crashed.stdout)
    assert (line["level"], line["event"]) == ("CRITICAL", "process_crashed")
    assert "RuntimeError" in line["context"]["exception"]
    assert "canary-value" not in crashed.stdout
