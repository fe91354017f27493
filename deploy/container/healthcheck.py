"""Exit 0 when the service in this container is alive, for HEALTHCHECK: python -m deploy.container.healthcheck [URL]."""

import http.client
import os
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

TIMEOUT_S = 4


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return 0 when ``/livez`` of HTTP_PORT, or the URL given, answers 200 in time; 1 with one line otherwise."""
    url = urlsplit(
        arguments[0] if arguments else f"http://127.0.0.1:{environment.get('HTTP_PORT', '8080')}/livez"
    )
    connection = http.client.HTTPConnection(url.hostname or "127.0.0.1", url.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", url.path)
        status = connection.getresponse().status
    except OSError as error:
        print(f"no answer: {error}")
        return 1
    finally:
        connection.close()
    print(f"answered {status}")
    return 0 if status == HTTPStatus.OK else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
