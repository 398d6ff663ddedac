// The desktop in a browser window: one noVNC connection that fills it and comes back by itself.
// Below view/ it may only look: the other end of that connection takes no input, whatever we send.

import RFB from './novnc/core/rfb.js';

const FIRST_DELAY = 1; // seconds before the first reconnection; doubles
const LAST_DELAY = 15;

const element = id => document.getElementById(id);
const screen = element('screen');
const clipboard = element('clipboard');

const viewOnly = new URL('.', location.href).pathname.endsWith('/view/');

let settings = { quality: 6, compression: 2, resize: true, alone: false };
let rfb;
let delay = FIRST_DELAY;
let timer;

function connect() {
  clearTimeout(timer);
  const url = new URL('websockify', location.href); // view/websockify below view/
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = url.hash = '';
  screen.replaceChildren(); // what an earlier connection left
  rfb = new RFB(screen, url.href, { shared: true });
  rfb.viewOnly = viewOnly;
  rfb.resizeSession = settings.resize && !viewOnly; // the desktop takes the window's size,
  rfb.scaleViewport = true; // and is scaled where it cannot
  rfb.qualityLevel = settings.quality;
  rfb.compressionLevel = settings.compression;
  rfb.background = '#1d2328';
  rfb.addEventListener('connect', connected);
  rfb.addEventListener('disconnect', disconnected);
  rfb.addEventListener('clipboard', event => copiedThere(event.detail.text));
  rfb.addEventListener('desktopname', event => (document.title = event.detail.name));
}

function connected() {
  delay = FIRST_DELAY;
  show(null);
  takeKeys();
  copiedHere();
}

/** Keys go to the desktop, if they go to this page: whoever types elsewhere meanwhile goes on. */
function takeKeys() {
  if (document.hasFocus() && !element('tools').open) {
    rfb?.focus();
  }
}

async function disconnected() {
  rfb = undefined;
  show('The connection to the desktop was lost. Connecting again…', true);
  // Nobody there, or something else than this page: the session ended, or a login is due. Then
  // the page that stands there now says more than we could.
  const found = await whatIsThere();
  if (rfb !== undefined) {
    return; // meanwhile the user, or a network that came back, was quicker
  }
  if (found === 'something else') {
    location.reload();
    return;
  }
  timer = setTimeout(connect, delay * 1000);
  delay = Math.min(delay * 2, LAST_DELAY);
}

async function whatIsThere() {
  try {
    const answer = await fetch('./', { cache: 'no-store', headers: { Accept: 'text/html' } });
    const text = await answer.text();
    return answer.ok && text.includes('jupyter-sessions-desktop') ? 'this page' : 'something else';
  } catch {
    return 'nothing';
  }
}

function reconnectNow() {
  if (rfb === undefined) {
    delay = FIRST_DELAY;
    connect();
  }
}

function show(message, canRetry = false) {
  element('status').hidden = message === null;
  element('message').textContent = message ?? '';
  element('retry').hidden = !canRetry;
}

// The clipboards. Browsers let a page at the user's clipboard on their own terms: only over HTTPS
// or on localhost, only in the front window, reading only with leave. The panel works always.

let known = ''; // what both sides have, so that nothing is sent back to where it came from

async function copiedThere(text) {
  if (viewOnly) {
    return;
  }
  known = text;
  clipboard.value = text;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not allowed here or now.
  }
}

async function copiedHere() {
  try {
    // Asked only where the browser remembers the answer; elsewhere it would ask at every focus.
    const leave = await navigator.permissions.query({ name: 'clipboard-read' });
    if (leave.state !== 'denied' && document.hasFocus()) {
      send(await navigator.clipboard.readText());
    }
  } catch {
    // This browser does not let pages read it.
  }
}

function send(text) {
  if (rfb !== undefined && !viewOnly && text && text !== known) {
    known = text;
    clipboard.value = text;
    rfb.clipboardPasteFrom(text);
  }
}

clipboard.addEventListener('input', () => send(clipboard.value));
window.addEventListener('focus', () => {
  copiedHere();
  if (document.activeElement === document.body) {
    takeKeys();
  }
});
window.addEventListener('online', reconnectNow);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') {
    reconnectNow();
  }
});
element('retry').addEventListener('click', reconnectNow);
element('fullscreen').hidden = !document.fullscreenEnabled;
element('fullscreen').addEventListener('click', async () => {
  element('tools').open = false;
  if (document.fullscreenElement) {
    await document.exitFullscreen();
  } else {
    await document.documentElement.requestFullscreen();
  }
  rfb?.focus();
});
screen.addEventListener('pointerdown', () => (element('tools').open = false));

element('quality').addEventListener('change', event => {
  const [quality, compression] = event.target.value.split(' ').map(Number);
  Object.assign(settings, { quality, compression });
  if (rfb !== undefined) {
    rfb.qualityLevel = quality;
    rfb.compressionLevel = compression;
  }
});

async function start() {
  try {
    const answer = await fetch('settings.json', { cache: 'no-store' });
    Object.assign(settings, await answer.json());
  } catch {
    // They are wishes; the desktop is there without them.
  }
  element('quality').value = `${settings.quality} ${settings.compression}`;
  document.body.classList.toggle('view-only', viewOnly);
  for (const part of document.querySelectorAll('[data-for]')) {
    part.hidden = (part.dataset.for === 'view') !== viewOnly;
  }
  connect();
}

void start();
