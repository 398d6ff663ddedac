/** How a session is and how long it will be, in a toolbar. */

import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';
import { CommandIDs } from '../commandids';
import { useSignal } from '../components/hooks';
import { Links } from '../components/links';
import { duration, isShort, stateLabel, timeLeft } from '../format';
import type { ISession } from '../tokens';
import type { ITabContext } from './context';

/** The session's state and the time it has left; with a way to more, where there is one. */
export class StateItem extends ReactWidget {
  constructor(private readonly props: ITabContext) {
    super();
    this.addClass('jp-sessions-stateItem');
  }

  protected override render(): React.JSX.Element {
    return <State {...this.props} />;
  }
}

function State(props: ITabContext): React.JSX.Element | null {
  const { id, model, trans } = props;
  const session = useSignal(model.changed, () => model.get(id));
  if (!session) {
    return null;
  }
  return (
    <>
      <span className={`jp-sessions-stateWord jp-mod-${session.state}`}>
        {stateLabel(session.state, trans)}
      </span>
      <TimeLeft {...props} session={session} />
      {session.state === 'running' && session.message && (
        <span className="jp-sessions-said" role="status" title={session.message}>
          {session.message}
        </span>
      )}
      <Links session={session} />
    </>
  );
}

function TimeLeft(
  props: ITabContext & { session: ISession }
): React.JSX.Element | null {
  const { session, model, trans, commands } = props;
  const text = useSignal(model.ticked, () => {
    const left = timeLeft(session, model.now);
    return left === undefined ? '' : trans.__('%1 left', duration(left, trans));
  });
  if (!text || !session.expires) {
    return null;
  }
  const className = `jp-sessions-timeLeft${
    isShort(timeLeft(session, model.now)) ? ' jp-mod-short' : ''
  }`;
  const ends = trans.__('Ends %1', new Date(session.expires).toLocaleString());
  if (!session.actions.includes('extend')) {
    return (
      <span className={className} title={ends}>
        {text}
      </span>
    );
  }
  return (
    <button
      type="button"
      className={className}
      title={trans.__('%1. Extend…', ends)}
      onClick={() => void commands.execute(CommandIDs.extend, { id: session.id })}
    >
      {text}
    </button>
  );
}
