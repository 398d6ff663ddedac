#!/usr/bin/env bash
# Install what is missing of the given Debian packages. Other systems are told what to install.
# usage: setup-system.sh GROUP...   (venv, tools, demo, test, benchmark: see lib.sh)
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

wanted=()
for group in "$@"; do
  declare -n packages="packages_$group"
  wanted+=("${packages[@]}")
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  say "note: not a Debian system; these must be there, under the names they have here: ${wanted[*]}"
  exit 0
fi

# dpkg's own helpers live in sbin, which a plain user's PATH may lack.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
mapfile -t missing < <(
  comm -23 <(printf '%s\n' "${wanted[@]}" | sort) <(
    dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null |
      sed -n 's/ installed$//p' | sort
  )
)
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || die "these packages are missing, and there is no sudo to install
them with. Ask an administrator for:
  apt-get install --no-install-recommends ${missing[*]}"
  as_root=(sudo)
fi

say "Installing Debian packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  # Another apt may be at work; wait for it rather than fail.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
    -o DPkg::Lock::Timeout=300 --no-install-recommends install "${missing[@]}" >"$log" 2>&1 </dev/null
}
# The package lists may be old, or not there at all.
install || {
  "${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 update >&2 && install
} || {
  cat "$log" >&2
  die "apt-get could not install: ${missing[*]}"
}
