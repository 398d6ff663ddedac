/** React meets Lumino's signals. */

import type { ISignal } from '@lumino/signaling';
import { useCallback, useSyncExternalStore } from 'react';

/**
 * What `get` returns, again after each emission of `signal`.
 *
 * The component is drawn again only if the result is another one by `Object.is`.
 */
export function useSignal<T>(signal: ISignal<unknown, unknown>, get: () => T): T {
  const subscribe = useCallback(
    (notify: () => void) => {
      const slot = (): void => notify();
      signal.connect(slot);
      return () => {
        signal.disconnect(slot);
      };
    },
    [signal]
  );
  return useSyncExternalStore(subscribe, get);
}
