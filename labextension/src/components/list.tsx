/** All sessions, with a filter, the ended ones folded away. */

import { FilterBox } from '@jupyterlab/ui-components';
import * as React from 'react';
import { CommandIDs } from '../commandids';
import { hasEnded, place, stateLabel } from '../format';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Connection, ISession } from '../tokens';
import { Card } from './card';
import { usePanel } from './context';
import { cardsIn, useKeptFocus } from './focus';
import { useSignal } from './hooks';

/** Number of sessions from which on a filter is worth its place. */
const WORTH_FILTERING = 4;

export function SessionList(): React.JSX.Element {
  const { model, trans } = usePanel();
  const sessions = useSignal(model.changed, () => model.sessions);
  const connection = useSignal(model.changed, () => model.connection);
  const [typed, setFilter] = React.useState('');
  // Hundreds of cards are drawn in slices, between keystrokes and frames.
  const filter = React.useDeferredValue(typed);
  const [showEnded, setShowEnded] = React.useState(false);
  const [current, setCurrent] = React.useState('');
  const scroller = React.useRef<HTMLDivElement>(null);
  const onFocus = useKeptFocus(scroller);

  const shown = React.useMemo(
    () =>
      sessions.filter(session =>
        matches(session, filter, session => stateLabel(session.state, trans))
      ),
    [sessions, filter, trans]
  );
  const open = shown.filter(session => !hasEnded(session));
  const ended = shown.filter(hasEnded);
  const unfolded = showEnded || (filter !== '' && ended.length > 0);
  const reachable = unfolded ? [...open, ...ended] : open;
  // One card is in the order of the Tab key; the arrow keys go from there.
  const stop = reachable.some(session => session.id === current)
    ? current
    : (reachable[0]?.id ?? '');

  const onKeyDown = (event: React.KeyboardEvent): void => {
    const moves = ['ArrowDown', 'ArrowUp', 'Home', 'End'];
    if (!moves.includes(event.key) || (event.target as HTMLElement).closest('input')) {
      return;
    }
    const cards = cardsIn(scroller.current);
    const focused = document.activeElement?.closest<HTMLElement>('.jp-sessions-card');
    const at = focused ? cards.indexOf(focused) : -1;
    if (at < 0) {
      return;
    }
    event.preventDefault();
    const next =
      event.key === 'Home'
        ? 0
        : event.key === 'End'
          ? cards.length - 1
          : at + (event.key === 'ArrowDown' ? 1 : -1);
    cards[Math.max(0, Math.min(next, cards.length - 1))]?.focus();
  };

  const cards = (some: readonly ISession[], label: string): React.JSX.Element => (
    <ul className="jp-sessions-list" aria-label={label}>
      {some.map(session => (
        <Card
          key={session.id}
          session={session}
          isCurrent={session.id === stop}
          onFocus={setCurrent}
        />
      ))}
    </ul>
  );

  if (connection === 'loading') {
    return <p className="jp-sessions-empty">{trans.__('Looking for sessions…')}</p>;
  }
  return (
    <>
      <Trouble />
      {sessions.length >= WORTH_FILTERING && (
        <div className="jp-sessions-filter">
          <FilterBox
            placeholder={trans.__('Filter sessions')}
            updateFilter={(_, query) => setFilter(query ?? '')}
            useFuzzyFilter={false}
            showIcon
          />
        </div>
      )}
      <div
        className="jp-sessions-scroller"
        ref={scroller}
        onFocus={onFocus}
        onKeyDown={onKeyDown}
      >
        {cards(open, trans.__('Sessions'))}
        {open.length === 0 && <Nothing isFiltered={filter !== ''} />}
        <Unreadable />
        {ended.length > 0 && (
          <section className="jp-sessions-ended">
            <h3>
              <button
                type="button"
                aria-expanded={unfolded}
                onClick={() => React.startTransition(() => setShowEnded(!unfolded))}
              >
                <span className="jp-sessions-fold" aria-hidden="true" />
                {trans.__('Ended')}
                <span className="jp-sessions-count">{ended.length}</span>
              </button>
              {unfolded && <ForgetAll />}
            </h3>
            {unfolded && cards(ended, trans.__('Ended sessions'))}
          </section>
        )}
      </div>
    </>
  );
}

function Nothing({ isFiltered }: { isFiltered: boolean }): React.JSX.Element {
  const { trans } = usePanel();
  return (
    <p className="jp-sessions-empty">
      {isFiltered
        ? trans.__('No running session matches.')
        : trans.__('Nothing runs. Press + to start an app.')}
    </p>
  );
}

/** What keeps the list from being true. */
function Trouble(): React.JSX.Element | null {
  const { model, commands, trans } = usePanel();
  const connection = useSignal(model.changed, () => model.connection);
  const problem = useSignal(model.changed, () => model.problem);
  const text = trouble(connection, problem, model.problemStatus, trans);
  return (
    <div role="status">
      {text && (
        <div className="jp-sessions-trouble">
          <span>{text}</span>
          <button
            type="button"
            onClick={() => void commands.execute(CommandIDs.refresh)}
          >
            {trans.__('Try again')}
          </button>
        </div>
      )}
    </div>
  );
}

function trouble(
  connection: Connection,
  problem: string,
  status: number,
  trans: TranslationBundle
): string {
  if (connection === 'offline') {
    return trans.__('The Jupyter server does not answer. Sessions go on without it.');
  }
  if (status === 401 || status === 403) {
    return trans.__('You are not logged in any more. Load the page again to log in.');
  }
  if (status === 404) {
    return trans.__(
      'This Jupyter server knows nothing of sessions: jupyter_sessions is not enabled there.'
    );
  }
  return problem;
}

/** Sessions whose record is damaged: all that can be done is to end and forget them. */
function Unreadable(): React.JSX.Element | null {
  const { model, commands, trans } = usePanel();
  const unreadable = useSignal(model.changed, () => model.unreadable);
  return unreadable.length === 0 ? null : (
    <ul className="jp-sessions-list" aria-label={trans.__('Damaged sessions')}>
      {unreadable.map(({ id, message }) => (
        <li key={id} className="jp-sessions-trouble">
          <span>
            {trans.__('The record of session %1 cannot be read: %2', id, message)}
          </span>
          <button
            type="button"
            onClick={() => void commands.execute(CommandIDs.forget, { id })}
          >
            {trans.__('Forget')}
          </button>
        </li>
      ))}
    </ul>
  );
}

function ForgetAll(): React.JSX.Element {
  const { commands, trans } = usePanel();
  return (
    <button
      type="button"
      className="jp-sessions-link"
      onClick={() => void commands.execute(CommandIDs.forgetEnded)}
    >
      {trans.__('Forget all')}
    </button>
  );
}

/** Whether all words of `filter` stand somewhere in what is shown of `session`. */
export function matches(
  session: ISession,
  filter: string,
  label: (session: ISession) => string
): boolean {
  if (!filter) {
    return true;
  }
  const text = [
    session.name,
    session.title,
    session.app,
    place(session),
    label(session),
    session.message
  ]
    .join(' ')
    .toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every(word => text.includes(word));
}
