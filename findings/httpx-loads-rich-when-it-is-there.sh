#!/bin/sh
# httpx 0.28.1: what `import httpx` loads depends on which other packages are installed.
#
# httpx has a command line of its own, with an extra `httpx[cli]` for it. Whoever has click, rich and pygments for another
# reason gets that command imported with every `import httpx`: 120 modules more than the 145 that it loads otherwise, which
# a program that only makes requests never uses. Installing a package that prints tables makes all programs of the
# environment that use httpx start later.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1

cat > "$folder/look.py" <<'PY'
import sys

before = set(sys.modules)
import httpx  # noqa: E402

new = {name.partition(".")[0] for name in set(sys.modules) - before}
command = {"click", "rich", "pygments"}
count = sum(name.partition(".")[0] in command for name in sys.modules)
print(f"httpx {httpx.__version__}: {len(set(sys.modules) - before)} modules loaded, {count} of them of {sorted(command & new)}")
sys.exit(0 if bool(command & new) == (sys.argv[1] == "with") else "it does not depend on them any more")
PY
echo "without click, rich and pygments:"
"$folder/venv/bin/python" "$folder/look.py" without
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check click==8.3.1 rich==14.2.0 pygments==2.19.2
echo "after they were installed, for whatever reason:"
"$folder/venv/bin/python" "$folder/look.py" with
