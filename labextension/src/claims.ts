/** One of several windows does what has to be done once: the one that people look at, if any. */

const PREFIX = 'jupyter-sessions:told:';
/** Milliseconds that a window in the background waits for one that is looked at. */
const PATIENCE = 1_500;
/** Milliseconds for two windows to see each other's claim: they may be processes of their own. */
const SETTLING = 500;
/** Milliseconds after which a claim is no longer of interest to anybody. */
const KEPT = 24 * 3600_000;

const ME = Math.random().toString(36).slice(2);

/**
 * Whether this window is the one to tell people of `what`.
 *
 * All windows of this browser at this server ask, at about the same time; one gets a yes. (Not with
 * Web Locks: they need HTTPS, which many lab servers do not have.)
 */
export async function claim(what: string): Promise<boolean> {
  const key = PREFIX + what;
  try {
    if (document.visibilityState !== 'visible') {
      await pause(PATIENCE);
    }
    if (localStorage.getItem(key) !== null) {
      return false;
    }
    localStorage.setItem(key, `${Date.now()} ${ME}`);
    await pause(SETTLING);
    const winner = localStorage.getItem(key) ?? '';
    tidy();
    return winner.endsWith(` ${ME}`);
  } catch {
    return true; // no storage: better twice than never
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, milliseconds));
}

function tidy(): void {
  for (const key of Object.keys(localStorage)) {
    const time = parseInt(localStorage.getItem(key) ?? '');
    if (key.startsWith(PREFIX) && !(time > Date.now() - KEPT)) {
      localStorage.removeItem(key);
    }
  }
}
