/** Keeps the keyboard's focus in a list whose cards come and go. */

import * as React from 'react';

/** Where the focus was last, in the list. */
interface IHeld {
  element: HTMLElement;
  /** The session of its card. */
  id: string | undefined;
  /** Which of the cards that was, from the top. */
  at: number;
}

const CARD = '.jp-sessions-card';
const FOLD = '.jp-sessions-ended h3 button';

/**
 * Whoever was on something that is gone now goes on from what is nearest.
 *
 * That is the session's card, wherever it stands now; or the card that stands where it was; or, if
 * there is none, what unfolds the sessions that have ended. Otherwise people who use the keyboard
 * would begin again at the top of the page whenever a session ends.
 *
 * @param list - The node that the cards are in. It is looked at each time that it is drawn.
 * @returns What the node has to call with each event of the focus in it.
 */
export function useKeptFocus(
  list: React.RefObject<HTMLElement>
): (event: React.FocusEvent<HTMLElement>) => void {
  const held = React.useRef<IHeld | null>(null);

  React.useEffect(() => {
    const forget = ({ target }: FocusEvent): void => {
      if (!(target instanceof Node && list.current?.contains(target))) {
        held.current = null;
      }
    };
    document.addEventListener('focusin', forget);
    return () => document.removeEventListener('focusin', forget);
  }, [list]);

  React.useLayoutEffect(() => {
    const { current: lost } = held;
    if (!lost || lost.element.isConnected || document.activeElement !== document.body) {
      return;
    }
    const cards = cardsIn(list.current);
    const next =
      cards.find(card => sessionOf(card) === lost.id) ??
      cards[Math.min(lost.at, cards.length - 1)] ??
      list.current?.querySelector<HTMLElement>(FOLD);
    held.current = null;
    next?.focus();
  });

  return ({ target }) => {
    const card = target.closest<HTMLElement>(CARD);
    held.current = card && {
      element: target,
      id: sessionOf(card),
      at: cardsIn(list.current).indexOf(card)
    };
  };
}

/** The cards that are shown, from the top. */
export function cardsIn(list: HTMLElement | null): HTMLElement[] {
  return [...(list?.querySelectorAll<HTMLElement>(CARD) ?? [])];
}

function sessionOf(card: HTMLElement): string | undefined {
  return card.closest<HTMLElement>('[data-session]')?.dataset.session;
}
