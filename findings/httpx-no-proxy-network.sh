#!/bin/sh
# NO_PROXY with a network: requests leaves the proxy out, httpx asks it, without a word.
# httpx 0.28.1, requests 2.32.5. A proxy that counts its calls listens on loopback; nobody else is asked.
# Expected: both reach 127.0.0.2 directly when NO_PROXY=127.0.0.0/8 (httpx's own source names such an entry).
# Observed: requests does, httpx sends the request to the proxy.
# Exit code 0 while that is so, 1 when the behaviour has changed.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet httpx==0.28.1 requests==2.32.5
env -u HTTPS_PROXY -u ALL_PROXY -u http_proxy -u no_proxy "$place/venv/bin/python" - <<'PYTHON'
import os, socketserver, sys, threading

import httpx
import requests

asked = []


class Proxy(socketserver.StreamRequestHandler):
    def handle(self):
        asked.append(self.rfile.readline())
        self.wfile.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HTTP_PROXY"] = f"http://127.0.0.1:{server.server_address[1]}"
os.environ["NO_PROXY"] = "127.0.0.0/8"
url = "http://127.0.0.2:9/"  # nobody listens there: a direct request is refused at once


def way(get):
    asked.clear()
    try:
        get(url, timeout=10)
    except (httpx.ConnectError, requests.ConnectionError):
        pass
    return "by the proxy" if asked else "directly"


seen = {"requests " + requests.__version__: way(requests.get), "httpx " + httpx.__version__: way(httpx.get)}
for library, how in seen.items():
    print(f"{library}: NO_PROXY=127.0.0.0/8, {url} is asked {how}")
sys.exit(0 if list(seen.values()) == ["directly", "by the proxy"] else 1)
PYTHON
