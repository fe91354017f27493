import http.client
from http import HTTPStatus

import pytest

from shared.observability.doors import Doors, Page


@pytest.fixture
def doors():
    opened = Doors(
        host="127.0.0.1", port=0, pages={"/page": lambda: Page(HTTPStatus.OK, "text/plain", b"hello\n")}
    )
    yield opened
    opened.close()


def ask(port, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_page_is_served_at_its_path_whatever_the_query(doors):
    assert ask(doors.port, "GET", "/page?x=1") == (200, b"hello\n")


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("POST", 501), ("PUT", 501)])
def test_nothing_else_is_answered(doors, method, status):
    assert ask(doors.port, method, "/other")[0] == status


def test_a_head_request_gets_the_status_without_the_body(doors):
    assert ask(doors.port, "HEAD", "/page") == (200, b"")


def test_a_closed_door_frees_its_port():
    first = Doors(host="127.0.0.1", port=0, pages={})
    first.close()
    second = Doors(host="127.0.0.1", port=first.port, pages={})
    second.close()
