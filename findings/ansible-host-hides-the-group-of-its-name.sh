#!/bin/sh
# ansible-core 2.19.14: a host that has the name of a group hides this group from plays, and only from plays.
#
# `ansible-inventory --graph` shows the group with all of its hosts. A play with `hosts: web`, or `ansible web`, runs on
# the one host that is called "web", not on the group, and ends well. So in an inventory that is made from names that
# people give to machines, one new machine can take a whole group out of every play. The only hint is a warning, which
# has no effect on the exit code.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ansible-core==2.19.14

cat > "$folder/inventory.py" <<'PY'
#!/usr/bin/env python3
import json

print(json.dumps({"web": {"hosts": ["a", "b"]}, "db": {"hosts": ["web"]}, "_meta": {"hostvars": {}}}))
PY
chmod +x "$folder/inventory.py"

export ANSIBLE_HOME="$folder/home" ANSIBLE_LOCALHOST_WARNING=false
"$folder/venv/bin/ansible" --version | head -n 1
graph=$("$folder/venv/bin/ansible-inventory" -i "$folder/inventory.py" --graph web 2>"$folder/warnings")
play=$("$folder/venv/bin/ansible" -i "$folder/inventory.py" web --list-hosts 2>>"$folder/warnings")
echo "the group in the graph:" $graph
echo "what a play for it reaches:" $play
grep "same name" "$folder/warnings" | sort -u
test "$(echo $graph)" = "@web: |--a |--b"
test "$(echo $play)" = "hosts (1): web"
