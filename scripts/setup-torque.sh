#!/usr/bin/env bash
# Slurm's qsub, qstat and qdel for people who come from Torque, for the tests. Their package cannot be installed
# beside Grid Engine's commands, which have the same names: it is unpacked in the user's cache, which every clone
# shares. The clone's virtual environment has a link to it.
# usage: setup-torque.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

package=slurm-wlm-torque
command -v apt-get >/dev/null || exit 0 # setup-system.sh has said what is needed
[[ -x $venv/bin/python ]] || "$root/scripts/setup-venv.sh"

version=$(apt-cache show --no-all-versions "$package" | sed -n 's/^Version: //p')
wrappers=${XDG_CACHE_HOME:-$HOME/.cache}/jupyter-sessions-tools/$package-$version
if [[ ! -e $wrappers ]]; then
  say "Fetching $package $version"
  mkdir -p "$(dirname -- "$wrappers")"
  building=$(mktemp -d "$(dirname -- "$wrappers")/.$package-XXXXXX")
  trap 'rm -rf "$building"' EXIT
  cd "$building"
  apt-get -qq -o APT::Sandbox::User=root download "$package" >&2
  dpkg -x "$package"_*.deb unpacked
  mv -T unpacked "$wrappers" 2>/dev/null || [[ -e $wrappers ]] # another clone was quicker
fi
mkdir -p "$venv/share"
ln -sfn "$wrappers" "$venv/share/$package"
