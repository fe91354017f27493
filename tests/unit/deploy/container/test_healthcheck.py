from http import HTTPStatus

import pytest

from deploy.container.healthcheck import main
from shared.observability.doors import Doors, Page


@pytest.fixture
def doors():
    opened = Doors(
        host="127.0.0.1",
        port=0,
        pages={
            "/livez": lambda: Page(HTTPStatus.OK, "text/plain", b""),
            "/stuck": lambda: Page(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b""),
        },
    )
    yield opened
    opened.close()


def test_a_live_service_passes_at_the_port_of_its_environment(doors):
    assert main([], {"HTTP_PORT": str(doors.port)}) == 0


def test_a_service_that_says_it_is_stuck_fails(doors):
    assert main([f"http://127.0.0.1:{doors.port}/stuck"], {}) == 1


def test_a_service_that_is_gone_fails(doors):
    doors.close()
    assert main([], {"HTTP_PORT": str(doors.port)}) == 1
