#!/bin/sh
# ipykernel 7.4.0 with IPython 9.18.1: a cell whose last value has a _repr_html_ that raises is reported as failed, by an error that is called
# "NoneType" and says "None", although IPython shows the value by its plain repr.
# Expected: status ok, as IPython counts the cell itself (result.success is True), or an error that names what was raised.
# Observed: the reply says status "error", ename "NoneType", evalue "None"; a client that stops at errors stops there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ipykernel==7.4.0 ipython==9.18.1 jupyter_client==8.10.0
cd "$folder"
cat > kernel.py <<'PYTHON'
import ipykernel
import IPython
from jupyter_client.manager import start_new_kernel

CELL = """
class Value:
    def _repr_html_(self):
        raise ValueError("no HTML for this one")
    def __repr__(self):
        return "plain"
Value()
"""

manager, client = start_new_kernel(kernel_name="python3")
shown = []
try:
    reply = client.execute_interactive(CELL, timeout=60, output_hook=shown.append)["content"]
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
results = [each["content"]["data"] for each in shown if each["msg_type"] == "execute_result"]
print("ipykernel", ipykernel.__version__, "IPython", IPython.__version__)
print("shown:", results)
print("reply:", reply["status"], reply.get("ename"), reply.get("evalue"))
print("expected ok, or an error that is called ValueError; observed an error that is called NoneType")
seen = (results, reply["status"], reply.get("ename"), reply.get("evalue"))
raise SystemExit(seen != ([{"text/plain": "plain"}], "error", "NoneType", "None"))
PYTHON
"$folder/venv/bin/python" kernel.py
