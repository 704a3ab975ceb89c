#!/bin/sh
# obstore 0.12.1 and boto3 1.44.8: any page that is answered with status 200 is a bucket without objects.
#
# `list` of S3Store (and of GCSStore) returns nothing and raises nothing for a response that is no listing, such as the page
# of a proxy or of a network that asks to sign in first. boto3 returns a dict without `Contents`, as for an empty bucket, as
# long as the page is well-formed XML. So "there are no backups" and "this was not the store" look the same; only `list` of
# AzureStore refuses the page. `get` returns it as the object, and only a missing tag tells it from one.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1 boto3==1.44.8

cat > "$folder/look.py" <<'PY'
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import obstore
from obstore.store import AzureStore, S3Store

PAGE = b"<html><head><title>Sign in</title></head><body>Please sign in first.</body></html>"


class Gateway(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *args):
        pass


def outcome(work):
    try:
        return work()
    except Exception as error:
        return type(error).__name__


server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
url, plain = f"http://127.0.0.1:{server.server_port}", {"allow_http": True}
keys = {"access_key_id": "k", "secret_access_key": "s", "region": "us-east-1"}
s3 = S3Store("backups", endpoint=url, client_options=plain, **keys)
azure = AzureStore(
    "backups", account_name="account", access_key=b64encode(b"k" * 32).decode(), endpoint=url, client_options=plain
)
boto = boto3.client(
    "s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
)
found = {
    "S3Store.list": outcome(lambda: [each for batch in s3.list() for each in batch]),
    "AzureStore.list": outcome(lambda: [each for batch in azure.list() for each in batch]),
    "boto3 list_objects_v2": outcome(lambda: boto.list_objects_v2(Bucket="backups").get("Contents", [])),
}
print("obstore", obstore.__version__, "boto3", boto3.__version__)
for name, result in found.items():
    print(f"{name:22} {result}")
got = s3.get("newest.tar")
print("S3Store.get            tag", got.meta["e_tag"], bytes(got.bytes())[:32])
assert found == {"S3Store.list": [], "AzureStore.list": "GenericError", "boto3 list_objects_v2": []}, found
assert got.meta["e_tag"] is None and bytes(s3.get("newest.tar").bytes()) == PAGE
PY
"$folder/venv/bin/python" "$folder/look.py"
