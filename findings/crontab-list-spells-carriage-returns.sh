#!/bin/sh
# Debian's cron 3.0pl1-162: `crontab -l | crontab -` changes the commands of a crontab with the line ends of Windows.
#
# The manual says that Debian's `crontab -l` omits the header, so that scripts can edit a crontab by that pipe as often as
# they like. `crontab` installs a file with CR LF as it is. But `crontab -l` prints each carriage return as a backslash and
# an r, and `crontab -` stores these two characters: the shell then reads an escaped r, and the output of the job goes to
# another file. The manual does not mention it. `crontab -e` gives the editor the text as it is.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/lists" "$folder/cache"
apt="-qq -o Dir::State::lists=$folder/lists -o Dir::Cache=$folder/cache -o APT::Sandbox::User= -o Debug::NoLocking=1"
(cd "$folder" && apt-get $apt update && apt-get $apt download cron=3.0pl1-162) > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
dpkg-deb -x "$folder"/cron_*.deb "$folder"

# The spool folder has a fixed name, so an empty one covers it for these commands alone.
cat > "$folder/look.sh" <<'SH'
set -eu
mount -t tmpfs none /var/spool
mkdir -p /var/spool/cron/crontabs
PATH=$1/usr/bin:$PATH
printf '0 5 * * * date >> report\r\n' | crontab -
tail -n 1 /var/spool/cron/crontabs/* > "$1/before"
crontab -l | crontab -
tail -n 1 /var/spool/cron/crontabs/* > "$1/after"
SH
unshare --user --map-root-user --mount sh "$folder/look.sh" "$folder"

mkdir "$folder/work"
cd "$folder/work"
for state in before after; do
  echo "$state: $(cat -A "$folder/$state")"
  sed 's/^0 5 \* \* \* //' "$folder/$state" | sh
done
echo "files that the two commands wrote:" $(ls | cat -A)
[ "$(cat -A "$folder/before")" = '0 5 * * * date >> report^M$' ]
[ "$(cat -A "$folder/after")" = '0 5 * * * date >> report\r$' ]
[ -e "$(printf 'report\r')" ] && [ -e reportr ]
