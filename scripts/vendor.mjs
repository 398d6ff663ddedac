// What pages of built-in apps need of npm packages, copied to where they are served from: these pages
// are no part of JupyterLab's bundle, and a session needs neither Node nor a network.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const place = 'jupyter_sessions/apps/builtin/terminal/page/vendor';
const files = {
  'xterm.mjs': '@xterm/xterm/lib/xterm.mjs',
  'xterm.css': '@xterm/xterm/css/xterm.css',
  'addon-fit.mjs': '@xterm/addon-fit/lib/addon-fit.mjs',
  'addon-web-links.mjs': '@xterm/addon-web-links/lib/addon-web-links.mjs',
  LICENSE: '@xterm/xterm/LICENSE'
};

rmSync(place, { recursive: true, force: true });
mkdirSync(place, { recursive: true });
for (const [name, source] of Object.entries(files)) {
  const text = readFileSync(join('node_modules', source), 'utf-8');
  // The maps of sources are not copied: browsers would ask for them in vain.
  writeFileSync(join(place, name), text.replace(/^\/\/# sourceMappingURL=.*\n?/m, ''));
}
