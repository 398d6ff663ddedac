/** What JupyterLab expects of a browser and jsdom does not have. */

import { vi } from 'vitest';

class NoObserver {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

Object.assign(globalThis, {
  DragEvent: globalThis.DragEvent ?? class extends MouseEvent {},
  ResizeObserver: globalThis.ResizeObserver ?? NoObserver,
  IntersectionObserver: globalThis.IntersectionObserver ?? NoObserver,
  requestIdleCallback:
    globalThis.requestIdleCallback ?? ((work: () => void) => setTimeout(work, 0)),
  cancelIdleCallback: globalThis.cancelIdleCallback ?? clearTimeout
});
window.matchMedia ??= vi.fn().mockImplementation((query: string) => ({
  matches: false,
  media: query,
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
  addListener: () => undefined,
  removeListener: () => undefined
}));

/** jsdom's page is never seen; ours is, unless a test says otherwise. */
Object.defineProperty(document, 'hidden', { configurable: true, value: false });
Object.defineProperty(document, 'visibilityState', {
  configurable: true,
  value: 'visible'
});
