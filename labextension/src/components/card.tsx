/** One session in the panel. */

import {
  LabIcon,
  ellipsesIcon,
  launchIcon,
  runIcon,
  stopIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';
import { CommandIDs } from '../commandids';
import { hasEnded, isComing, place, stateLabel } from '../format';
import { appIcon } from '../icons';
import type { ISession } from '../tokens';
import { usePanel } from './context';
import { Links } from './links';
import { Ago, RunningFor, TimeLeft } from './time';
import { Usage } from './usage';

export interface ICardProps {
  session: ISession;
  /** Whether the Tab key comes here: to one card of a list. */
  isCurrent: boolean;
  onFocus: (id: string) => void;
}

/** Drawn again only if the session is another version of itself. */
export const Card = React.memo(function Card({
  session,
  isCurrent,
  onFocus
}: ICardProps): React.JSX.Element {
  const { model, commands, trans, openMenu } = usePanel();
  const { id, state } = session;
  const run = (command: string): void => void commands.execute(command, { id });
  const label = stateLabel(state, trans);
  const where = place(session);
  const subtitle = [session.title !== session.name && session.title, where]
    .filter(Boolean)
    .join(' · ');

  const onContextMenu = (event: React.MouseEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    openMenu(session, event.clientX, event.clientY);
  };
  const menuBelow = (event: React.MouseEvent<HTMLElement>): void => {
    const { left, bottom } = event.currentTarget.getBoundingClientRect();
    openMenu(session, left, bottom);
  };
  const onKeyDown = (event: React.KeyboardEvent<HTMLElement>): void => {
    if (event.target !== event.currentTarget) {
      return; // a button's own
    }
    const asked = {
      Enter: CommandIDs.open,
      F2: CommandIDs.rename,
      Delete: hasEnded(session) ? CommandIDs.forget : CommandIDs.stop
    }[event.key];
    if (asked) {
      event.preventDefault();
      if (commands.isEnabled(asked, { id })) {
        run(asked);
      }
    } else if (event.key === 'ContextMenu' || (event.key === 'F10' && event.shiftKey)) {
      event.preventDefault();
      const { left, top } = event.currentTarget.getBoundingClientRect();
      openMenu(session, left + 24, top + 24);
    }
  };

  return (
    <li className="jp-sessions-item" data-session={id}>
      <div
        className={`jp-sessions-card jp-mod-${state}`}
        role="group"
        aria-label={trans.__('%1: %2', session.name, label)}
        tabIndex={isCurrent ? 0 : -1}
        onFocus={() => onFocus(id)}
        onContextMenu={onContextMenu}
        onKeyDown={onKeyDown}
        onDoubleClick={() => run(CommandIDs.open)}
      >
        <span className="jp-sessions-icon" aria-hidden="true">
          <LabIcon.resolveReact icon={appIcon(model, session.app)} tag="span" />
        </span>
        <div className="jp-sessions-name" title={session.name}>
          {session.name}
        </div>
        <div className="jp-sessions-text">
          {subtitle && (
            <div className="jp-sessions-subtitle" title={subtitle}>
              {subtitle}
            </div>
          )}
          <div className="jp-sessions-state">
            <span className="jp-sessions-dot" aria-hidden="true" />
            <span>{label}</span>
            {hasEnded(session) ? (
              session.ended && <Ago time={session.ended} />
            ) : (
              <>
                <RunningFor session={session} />
                <TimeLeft session={session} />
              </>
            )}
          </div>
          <Sentence session={session} />
          <Links session={session} isTabStop={isCurrent} />
          {isComing(session) || state === 'stopping' ? (
            <div
              className="jp-sessions-progress"
              role="progressbar"
              aria-label={trans.__('%1 %2', label, session.name)}
            />
          ) : null}
          {state === 'running' && <Usage id={id} />}
        </div>
        <div className="jp-sessions-actions">
          {state === 'running' || isComing(session) ? (
            <CardButton
              icon={launchIcon}
              label={trans.__('Open %1', session.name)}
              isTabStop={isCurrent}
              onClick={() => run(CommandIDs.open)}
            />
          ) : null}
          {session.actions.includes('stop') && (
            <CardButton
              icon={stopIcon}
              label={trans.__('Stop %1', session.name)}
              isTabStop={isCurrent}
              onClick={() => run(CommandIDs.stop)}
            />
          )}
          {hasEnded(session) && session.actions.includes('restart') && (
            <CardButton
              icon={runIcon}
              label={trans.__('Start %1 again', session.name)}
              isTabStop={isCurrent}
              onClick={() => run(CommandIDs.restart)}
            />
          )}
          <CardButton
            icon={ellipsesIcon}
            label={trans.__('More about %1', session.name)}
            isTabStop={isCurrent}
            hasMenu
            onClick={menuBelow}
          />
        </div>
      </div>
    </li>
  );
});

/** What is worth saying besides the state. */
function Sentence({ session }: { session: ISession }): React.JSX.Element | null {
  const { trans } = usePanel();
  if (session.unreachable_since) {
    return (
      <div className="jp-sessions-message jp-mod-warning">
        {trans.__('Cannot be asked at the moment; it may well be running.')}
      </div>
    );
  }
  // That it was stopped on request is said by the state.
  const isPlain = session.reason === 'stopped';
  if (!session.message || isPlain) {
    return null;
  }
  return (
    <div className="jp-sessions-message" title={session.message}>
      {session.message}
    </div>
  );
}

function CardButton(props: {
  icon: LabIcon;
  label: string;
  isTabStop: boolean;
  hasMenu?: boolean;
  onClick: (event: React.MouseEvent<HTMLElement>) => void;
}): React.JSX.Element {
  return (
    <button
      type="button"
      className="jp-sessions-button"
      title={props.label}
      aria-label={props.label}
      aria-haspopup={props.hasMenu ? 'menu' : undefined}
      tabIndex={props.isTabStop ? 0 : -1}
      onClick={props.onClick}
    >
      <props.icon.react tag="span" />
    </button>
  );
}
