#!/usr/bin/env bash
# httpcore 1.0.9: `max_keepalive_connections` is documented as the number of idle connections that the pool keeps. The pool
# compares it with the number of all its connections. While as many requests are running as the limit allows, each
# other connection is closed after its response, although no idle one is kept: a burst of short requests next to long
# ones connects anew for each request. A pool whose two limits are equal is not affected.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check httpcore==1.0.9

cat > "$folder/pool.py" <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpcore

release = threading.Event()
arrived = threading.Semaphore(0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/long":
            arrived.release()
            release.wait(600)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"


def idle_after_a_short_request(keepalive, running):
    """The idle connections that a pool keeps after a short request, while `running` long ones are not finished."""
    release.clear()
    with httpcore.ConnectionPool(max_connections=10, max_keepalive_connections=keepalive) as pool:
        threads = [threading.Thread(target=pool.request, args=("GET", url + "/long")) for _ in range(running)]
        for thread in threads:
            thread.start()
        for _ in threads:
            arrived.acquire()
        pool.request("GET", url + "/short")
        idle = sum(connection.is_idle() for connection in pool.connections)
        release.set()
        for thread in threads:
            thread.join()
    return idle


print(f"httpcore {httpcore.__version__}, 2 idle connections may be kept")
print(f"no other request: {idle_after_a_short_request(2, 0)} kept")
print(f"2 others running: {idle_after_a_short_request(2, 2)} kept")
print(f"2 others running, limit 10: {idle_after_a_short_request(10, 2)} kept")
server.shutdown()
PYTHON

found=$("$folder/venv/bin/python" "$folder/pool.py")
echo "$found"
diff <(echo "$found") - <<'EXPECTED'
httpcore 1.0.9, 2 idle connections may be kept
no other request: 1 kept
2 others running: 0 kept
2 others running, limit 10: 1 kept
EXPECTED
