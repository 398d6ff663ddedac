/** What a session's tab shows while there is no app to be shown. */

import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';
import { CommandIDs } from '../commandids';
import { useSignal } from '../components/hooks';
import { ago, duration, place, runningFor } from '../format';
import { appIcon } from '../icons';
import type { ISession } from '../tokens';
import type { ITabContext } from './context';
import { isRestarting, sceneOf, stepsOf } from './scene';

export interface IPaneOptions extends ITabContext {
  /** When the wait for this attempt began: epoch milliseconds. */
  since: () => number;
  close: () => void;
}

export class Pane extends ReactWidget {
  constructor(private readonly options: IPaneOptions) {
    super();
    this.addClass('jp-sessions-pane-head');
  }

  protected override render(): React.JSX.Element {
    return <Head {...this.options} />;
  }
}

function Head(props: IPaneOptions): React.JSX.Element {
  const { id, model, trans } = props;
  const session = useSignal(model.changed, () => model.get(id));
  const scene = useSignal(model.changed, () => sceneOf(model, id));
  const problem = useSignal(model.changed, () => model.problem);
  useSignal(model.appsChanged, () => model.apps); // for the icon
  if (!session) {
    return scene === 'gone' ? (
      <>
        <h2>{trans.__('This session has been forgotten')}</h2>
        <p>
          {trans.__(
            'It is not in the list of sessions any more, and its log has been deleted.'
          )}
        </p>
        <div className="jp-sessions-pane-actions">
          <Button label={trans.__('Close Tab')} isMain onClick={props.close} />
        </div>
      </>
    ) : (
      <p role="status">{problem || trans.__('Looking for the session…')}</p>
    );
  }
  const Icon = appIcon(model, session.app);
  const where = place(session);
  return (
    <>
      <div className="jp-sessions-pane-title">
        <Icon.react tag="span" className="jp-sessions-pane-icon" aria-hidden />
        <div>
          <h2>{session.name}</h2>
          <p>
            {[session.title !== session.name && session.title, where]
              .filter(Boolean)
              .join(' · ')}
          </p>
        </div>
      </div>
      {scene === 'coming' || scene === 'stopping' || scene === 'suspended' ? (
        <Coming {...props} session={session} />
      ) : (
        <Ended {...props} session={session} />
      )}
    </>
  );
}

type ISessionProps = IPaneOptions & { session: ISession };

/** On its way: how far, since when, and what it says. */
function Coming(props: ISessionProps): React.JSX.Element {
  const { session, model, trans, since } = props;
  const elapsed = useSignal(model.ticked, () =>
    duration(Math.max(0, model.now - since()), trans)
  );
  const isOnItsWay = sceneOf(model, session.id) === 'coming';
  const sentence = isRestarting(session)
    ? trans.__('Ends, and starts again.')
    : session.message;
  return (
    <>
      {isOnItsWay && !isRestarting(session) ? (
        <ol className="jp-sessions-steps" aria-label={trans.__('Progress')}>
          {stepsOf(session, trans).map(({ label, progress }) => (
            <li
              key={label}
              className={`jp-mod-${progress}`}
              aria-current={progress === 'now' ? 'step' : undefined}
            >
              <span>{label}</span>
            </li>
          ))}
        </ol>
      ) : (
        <div
          className="jp-sessions-progress"
          role="progressbar"
          aria-label={trans.__('Stopping')}
        />
      )}
      <div className="jp-sessions-pane-row">
        <p role="status" className="jp-sessions-pane-sentence">
          {sentence}
        </p>
        <span className="jp-sessions-pane-elapsed">{elapsed}</span>
        <CommandButton {...props} command={CommandIDs.stop} />
      </div>
    </>
  );
}

/** Over: how and why, and how to go on. */
function Ended(props: ISessionProps): React.JSX.Element {
  const { session, model, trans } = props;
  const hasFailed = session.state === 'failed';
  const when = useSignal(model.ticked, () =>
    session.ended ? ago(session.ended, model.now, trans) : ''
  );
  const lasted = runningFor(session, model.now);
  const facts: [string, string, string?][] = [];
  if (session.ended) {
    const ended = new Date(session.ended).toLocaleString();
    facts.push([trans.__('Ended'), when, ended]);
  }
  if (lasted !== undefined) {
    facts.push([trans.__('Ran for'), duration(lasted, trans)]);
  }
  if (hasFailed && session.exit_code !== null) {
    facts.push([trans.__('Exit code'), String(session.exit_code)]);
  }
  return (
    <>
      <div role="status" className={`jp-sessions-verdict jp-mod-${session.state}`}>
        <h3>{hasFailed ? trans.__('Failed') : trans.__('Stopped')}</h3>
        {session.message && session.reason !== 'stopped' && <p>{session.message}</p>}
      </div>
      <dl className="jp-sessions-facts">
        {facts.map(([term, value, title]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd title={title}>{value}</dd>
          </div>
        ))}
      </dl>
      <div className="jp-sessions-pane-actions">
        <CommandButton {...props} command={CommandIDs.restart} isMain />
        <CommandButton {...props} command={CommandIDs.logs} />
        <CommandButton {...props} command={CommandIDs.forget} />
      </div>
    </>
  );
}

function CommandButton(
  props: ITabContext & { command: string; isMain?: boolean }
): React.JSX.Element | null {
  const { id, commands, command, isMain } = props;
  const args = { id };
  return commands.isEnabled(command, args) ? (
    <Button
      label={commands.label(command, args)}
      title={commands.caption(command, args)}
      isMain={isMain}
      onClick={() => void commands.execute(command, args)}
    />
  ) : null;
}

/** The main one looks as in Lab's dialogs, the others step back. */
export function Button(props: {
  label: string;
  title?: string;
  isMain?: boolean;
  onClick: () => void;
}): React.JSX.Element {
  const look = props.isMain ? 'jp-mod-accept' : 'jp-sessions-secondary';
  return (
    <button
      type="button"
      className={`jp-Button jp-mod-styled ${look}`}
      title={props.title || undefined}
      onClick={props.onClick}
    >
      {props.label}
    </button>
  );
}
