// The terminal in a browser window: xterm.js that fills it, and a connection that comes back.

import { FitAddon } from './vendor/addon-fit.mjs';
import { WebLinksAddon } from './vendor/addon-web-links.mjs';
import { Terminal } from './vendor/xterm.mjs';

const FIRST_DELAY = 0.5; // seconds before the first reconnection; doubles
const LAST_DELAY = 15;

const element = id => document.getElementById(id);
const terminal = new Terminal({
  cursorBlink: true,
  fontFamily: '"DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace',
  fontSize: 14,
  scrollback: 10_000,
  screenReaderMode: false,
  theme: { background: '#1d2328', foreground: '#e8ecef', cursor: '#6fd0c8' }
});
const fit = new FitAddon();

let socket;
let delay = FIRST_DELAY;
let timer;
let ended = false;

function connect() {
  clearTimeout(timer);
  const url = new URL('websocket', location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = url.hash = '';
  const opened = (socket = new WebSocket(url));
  opened.onopen = () => {
    delay = FIRST_DELAY;
    show(null);
    terminal.reset(); // the other side shows again what was there
    resized();
  };
  opened.onmessage = event => {
    const [kind, content] = JSON.parse(event.data);
    if (kind === 'stdout') {
      terminal.write(content);
    } else if (kind === 'disconnect') {
      ended = true;
      show('The command has ended, and the session with it.');
    }
  };
  opened.onclose = () => {
    if (socket === opened) {
      socket = undefined;
      disconnected();
    }
  };
}

async function disconnected() {
  if (!ended) {
    show('The connection was lost. Connecting again…', true);
    // Nobody there, or something else than this page: the session ended, or a login is due. Then
    // the page that stands there now says more than we could.
    if ((await whatIsThere()) === 'something else') {
      location.reload();
      return;
    }
    if (socket === undefined) {
      timer = setTimeout(connect, delay * 1000);
      delay = Math.min(delay * 2, LAST_DELAY);
    }
  }
}

async function whatIsThere() {
  try {
    const answer = await fetch('./', { cache: 'no-store', headers: { Accept: 'text/html' } });
    const text = await answer.text();
    return answer.ok && text.includes('jupyter-sessions-terminal') ? 'this page' : 'something else';
  } catch {
    return 'nothing';
  }
}

function reconnectNow() {
  if (socket === undefined && !ended) {
    delay = FIRST_DELAY;
    connect();
  }
}

function send(...message) {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify(message));
  }
}

function resized() {
  fit.fit();
  send('set_size', terminal.rows, terminal.cols, innerHeight, innerWidth);
}

function show(message, canRetry = false) {
  element('status').hidden = message === null;
  element('message').textContent = message ?? '';
  element('retry').hidden = !canRetry;
}

terminal.loadAddon(fit);
terminal.loadAddon(new WebLinksAddon());
terminal.open(element('terminal'));
terminal.onData(text => send('stdin', text));
terminal.onTitleChange(title => (document.title = title || 'Terminal'));
// As terminals have it: what is selected is copied by Ctrl+Shift+C; Ctrl+C stays with the program.
terminal.attachCustomKeyEventHandler(event => {
  const copies = event.ctrlKey && event.shiftKey && event.code === 'KeyC';
  if (event.type === 'keydown' && copies && terminal.hasSelection()) {
    event.preventDefault();
    void navigator.clipboard?.writeText(terminal.getSelection());
    return false;
  }
  return true;
});
new ResizeObserver(resized).observe(element('terminal'));
window.addEventListener('online', reconnectNow);
window.addEventListener('focus', () => terminal.focus());
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') {
    reconnectNow();
  }
});
element('retry').addEventListener('click', reconnectNow);

connect();
// Whoever types elsewhere meanwhile goes on.
if (document.hasFocus()) {
  terminal.focus();
}
