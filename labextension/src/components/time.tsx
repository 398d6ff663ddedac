/** Times that count: they alone are drawn again as time goes by, and only if the text changes. */

import * as React from 'react';
import { ago, duration, isShort, runningFor, timeLeft } from '../format';
import type { ISession } from '../tokens';
import { usePanel } from './context';
import { useSignal } from './hooks';

/** "2 h 5 min": how long it runs. */
export function RunningFor({
  session
}: {
  session: ISession;
}): React.JSX.Element | null {
  const { model, trans } = usePanel();
  const text = useSignal(model.ticked, () => {
    const elapsed = runningFor(session, model.now);
    return elapsed === undefined ? '' : duration(elapsed, trans);
  });
  return text ? <span title={absolute(session.started)}>{text}</span> : null;
}

/** "55 min left", with a colour once that is short. */
export function TimeLeft({ session }: { session: ISession }): React.JSX.Element | null {
  const { model, trans } = usePanel();
  const text = useSignal(model.ticked, () => {
    const left = timeLeft(session, model.now);
    return left === undefined ? '' : trans.__('%1 left', duration(left, trans));
  });
  if (!text) {
    return null;
  }
  const short = isShort(timeLeft(session, model.now));
  return (
    <span
      className={short ? 'jp-sessions-short' : undefined}
      title={trans.__('Ends %1', absolute(session.expires))}
    >
      {text}
    </span>
  );
}

/** "3 min ago", of a time. */
export function Ago({ time }: { time: string }): React.JSX.Element {
  const { model, trans } = usePanel();
  const text = useSignal(model.ticked, () => ago(time, model.now, trans));
  return <span title={absolute(time)}>{text}</span>;
}

function absolute(time: string | null): string {
  return time ? new Date(time).toLocaleString() : '';
}
