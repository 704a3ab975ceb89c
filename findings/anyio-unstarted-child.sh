#!/bin/sh
# anyio: a task-group child that is cancelled before its first step leaves "coroutine ... was never awaited".
#
# Expected: asyncio.run() cancels what is left when main() returns. A task that has not begun is closed silently, and so it
# is with anyio 4.11.0. Since anyio wraps each child in a coroutine of its own (seen with 4.16.0), the wrapper is closed and
# the child inside it is never started: Python warns, at a moment that depends on timing.
# Why it matters: every httpx.AsyncClient connects in such a child, so a program that ends while a connection is being
# opened prints the warning, and a test suite with warnings as errors fails now and then.
# Exit status: 0 when both versions behave as described, 1 when that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/probe.py" <<'PY'
import asyncio
import gc
import warnings
from importlib.metadata import version

import anyio

warnings.simplefilter("always")


async def child():
    await anyio.sleep(1)


async def parent():
    async with anyio.create_task_group() as group:
        group.start_soon(child)
        await anyio.sleep(1)


async def main():
    # The parent is scheduled and main() returns: asyncio.run() lets it start, then cancels parent and child.
    asyncio.get_running_loop().create_task(parent())


with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    asyncio.run(main())
    gc.collect()
print(version("anyio"), [str(each.message) for each in seen])
PY
python3 -m venv "$folder/venv"
status=0
for expected in "4.11.0 []" "4.16.0 [\"coroutine 'child' was never awaited\"]"; do
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "anyio==${expected%% *}"
  seen=$("$folder/venv/bin/python" "$folder/probe.py")
  echo "seen:     $seen"
  [ "$seen" = "$expected" ] || { echo "expected: $expected"; status=1; }
done
exit $status
