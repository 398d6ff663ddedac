/** Tells when somebody goes into a frame, which the page around it does not see. */

import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

export interface IFocusListener {
  onEnter: () => void;
  onLeave: () => void;
}

const watched = new Map<HTMLIFrameElement, IFocusListener>();
/** Who was told last to have the focus. */
let current: IFocusListener | null = null;

/**
 * Tell `listener` whenever the keyboard's focus has gone into `frame`, or out of it.
 *
 * A click into a frame gives the page no event of its own, but takes the focus from its window.
 * From one frame to another, only the windows in them notice.
 */
export function watchFocus(
  frame: HTMLIFrameElement,
  listener: IFocusListener
): IDisposable {
  // Each document that a frame loads has a window of its own to listen to.
  const hook = (): void => {
    try {
      frame.contentWindow?.addEventListener('focus', look);
      frame.contentWindow?.addEventListener('blur', look);
    } catch {
      // It is at another site now: the page's own events have to do.
    }
  };
  if (watched.size === 0) {
    window.addEventListener('blur', look);
    window.addEventListener('focus', look);
  }
  watched.set(frame, listener);
  frame.addEventListener('load', hook);
  return new DisposableDelegate(() => {
    frame.removeEventListener('load', hook);
    watched.delete(frame);
    if (current === listener) {
      current = null;
    }
    if (watched.size === 0) {
      window.removeEventListener('blur', look);
      window.removeEventListener('focus', look);
    }
  });
}

/** See where the focus is, once the event is over. */
function look(): void {
  setTimeout(() => {
    const element = document.activeElement;
    const now =
      element instanceof HTMLIFrameElement ? (watched.get(element) ?? null) : null;
    if (now !== current) {
      const before = current;
      current = now;
      before?.onLeave();
      now?.onEnter();
    }
  });
}
