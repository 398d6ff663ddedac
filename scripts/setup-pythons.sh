#!/usr/bin/env bash
# Old Pythons for the tests of what is sent to clusters: Debian 11's CPython 3.9, and its PyPy, which is Python
# 3.7. They are unpacked into the user's cache, which every clone shares, and touch nothing of the system. The
# clone's virtual environment has a link to them. Elsewhere than on Debian for amd64 or arm64 there are none.
# usage: setup-pythons.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

[[ -x $venv/bin/python ]] || "$root/scripts/setup-venv.sh"

layout=1 # one more whenever this script makes the folder in another way
release=bullseye
packages=(pypy3 pypy3-lib python3.9-minimal libpython3.9-minimal libpython3.9-stdlib libssl1.1 libffi7
  libmpdec3 libtinfo6 libncursesw6)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jupyter-sessions-tools
pythons=$cache/pythons-$layout-$release

link() {
  mkdir -p "$venv/share"
  ln -sfn "$pythons" "$venv/share/old-pythons"
}
if [[ -e $pythons ]]; then
  link
  exit 0
fi
if [[ ! -e $keys ]] || ! command -v apt-get >/dev/null; then
  say "There are no old Pythons here: their tests are skipped"
  exit 0
fi

say "Unpacking old Pythons below $cache (20 MB, a few seconds, once)"
mkdir -p "$cache"
building=$(mktemp -d "$cache/.building-XXXXXX")
trap 'rm -rf "$building"' EXIT
mkdir -p "$building"/apt/{state/lists,cache/archives}/partial "$building"/{debs,files}
# Its own lists and sources: the system's stay as they are.
echo "deb [signed-by=$keys] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} $release main" >"$building/apt/sources.list"
options=(-qq -o "Dir::Etc::SourceList=$building/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State=$building/apt/state" -o "Dir::Cache=$building/apt/cache" -o Dir::State::status=/dev/null
  -o APT::Sandbox::User=)
apt-get "${options[@]}" update
(cd "$building/debs" && apt-get "${options[@]}" download "${packages[@]}")
for package in "$building"/debs/*.deb; do
  dpkg-deb --extract "$package" "$building/files"
done
libraries=$(cd "$building/files" && ls -d usr/lib/*-linux-gnu)
for name in python3.9 pypy3; do
  # Their libraries are theirs alone.
  cat >"$building/files/$name" <<WRAPPER
#!/bin/sh
here=\$(dirname -- "\$(readlink -f -- "\$0")")
exec env LD_LIBRARY_PATH="\$here/$libraries:\$here/${libraries#usr/}" "\$here/usr/bin/$name" "\$@"
WRAPPER
  chmod 755 "$building/files/$name"
  "$building/files/$name" -I -S -c 'import asyncio, ctypes, ssl' || die "$name was unpacked but does not run"
done
chmod 755 "$building/files"
mv -T -- "$building/files" "$pythons" 2>/dev/null || true # another clone was quicker
link
