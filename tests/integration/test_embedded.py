"""The server from a wheel: made, found again, stopped, and started on what it kept (D14)."""

import os
import shutil
import tempfile
from pathlib import Path

import psycopg
import pytest

from deploy.local import embedded
from deploy.local.embedded import EmbeddedFailed, find, start, use_or_start


@pytest.fixture
def data_dir():
    """A folder the server's user can reach, which pytest's own are not when root runs the tests."""
    place = Path(tempfile.mkdtemp(prefix="onebook-embedded-"))
    place.chmod(0o755)
    yield place / "postgres"
    server = find(place / "postgres")
    if server is not None:
        server.stop()
    shutil.rmtree(place)


def test_what_was_written_survives_a_stop(data_dir):
    first = start(data_dir)
    with psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    first.stop()
    assert find(data_dir) is None
    second = start(data_dir)
    with psycopg.connect(second.url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_starting_twice_finds_the_running_server(data_dir):
    first = start(data_dir)
    assert start(data_dir) == first == find(data_dir)
    first.stop()
    first.stop()


def test_the_demos_server_keeps_its_promises_and_the_tests_one_is_fast(data_dir, server_url):
    with psycopg.connect(start(data_dir).url) as connection:
        assert [
            connection.execute(f"SHOW {name}").fetchone()[0] for name in ("fsync", "full_page_writes")
        ] == ["on", "on"]
        assert int(connection.execute("SHOW max_connections").fetchone()[0]) >= 200
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
    if not os.environ.get("DATABASE_URL"):
        with psycopg.connect(server_url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)


def test_a_given_database_is_used_and_never_stopped(data_dir):
    server = use_or_start({"DATABASE_URL": "postgresql://u@127.0.0.1:1/d"}, data_dir)
    assert server.url == "postgresql://u@127.0.0.1:1/d"
    server.stop()
    assert not data_dir.exists()


def test_a_server_that_cannot_start_says_what_it_said(data_dir):
    start(data_dir).stop()
    (data_dir / "postgresql.auto.conf").write_text("shared_buffers = 'nonsense'\n")
    with pytest.raises(EmbeddedFailed, match="nonsense"):
        start(data_dir)


def test_the_command_line_starts_tells_and_stops(data_dir, capsys):
    place = ["--data-dir", str(data_dir)]
    assert embedded.main(["url", *place]) == 1
    assert embedded.main(["start", *place]) == 0
    url = capsys.readouterr().out.strip()
    assert embedded.main(["url", *place]) == 0
    assert capsys.readouterr().out.strip() == url
    assert embedded.main(["stop", *place]) == 0
    assert embedded.main(["stop", *place]) == 0
    assert find(data_dir) is None
