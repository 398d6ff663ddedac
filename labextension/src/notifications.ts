/** Tells people when a session is ready, has failed, or is about to end: once, in one window. */

import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { CommandIDs } from './commandids';
import { duration, timeLeft } from './format';
import { claim } from './claims';
import type { Settings } from './settings';
import type { IChange, ISession, ISessionsModel } from './tokens';

export interface INotificationOptions {
  model: ISessionsModel;
  settings: Settings;
  commands: CommandRegistry;
  trans: TranslationBundle;
  /** Whether people have the session before their eyes anyway. */
  isSeen: (id: string) => boolean;
}

type Kind = 'ready' | 'failed' | 'ended' | 'expiring';

const KINDS: { [change in IChange['change']]?: Kind } = {
  running: 'ready',
  failed: 'failed',
  stopped: 'ended',
  expiring: 'expiring'
};

/** Why a session stops that nobody here has stopped. */
const TAKEN: readonly string[] = ['timeout', 'walltime', 'cancelled'];

/** Seconds that "Extend" gives. */
const EXTENSION = 3600;

export class Notifications {
  constructor(private readonly options: INotificationOptions) {
    options.model.happened.connect(this._onHappened, this);
  }

  private _onHappened(_: unknown, { change, session, before }: IChange): void {
    const { model, settings } = this.options;
    if (change === 'deleted') {
      this._dismiss(session.id);
      return;
    }
    if (change === 'stopping' || change === 'stopped' || change === 'restarted') {
      this._dismiss(session.id); // what was said of it is no longer so
    }
    const kind = KINDS[change];
    const setting = kind === 'ended' ? 'failed' : kind;
    if (!kind || !setting || !settings.now.notifications[setting]) {
      return;
    }
    // A session that was suspended, or stopped by request, is nothing to report.
    const isAsked = kind === 'ended' && !TAKEN.includes(session.reason);
    if (isAsked || before?.state === 'suspended') {
      return;
    }
    const what = `${session.id}:${session.attempt}:${kind}:${kind === 'expiring' ? session.expires : ''}`;
    void claim(what).then(isOurs => {
      const now = model.get(session.id);
      if (isOurs && now && now.attempt === session.attempt) {
        this._tell(kind, now);
      }
    });
  }

  private _tell(kind: Kind, session: ISession): void {
    const { trans, isSeen, model } = this.options;
    if (isSeen(session.id) && kind !== 'expiring') {
      return;
    }
    this._dismiss(session.id);
    if (kind === 'ready') {
      this._emit(session, trans.__('%1 is ready.', session.name), 'success', 10_000, [
        this._action(trans.__('Open'), CommandIDs.open, session, 'accent')
      ]);
    } else if (kind === 'failed') {
      const text = session.message
        ? trans.__('%1 has failed: %2', session.name, session.message)
        : trans.__('%1 has failed.', session.name);
      this._emit(session, text, 'error', false, [
        this._action(trans.__('Logs'), CommandIDs.logs, session, 'accent'),
        this._action(trans.__('Start again'), CommandIDs.restart, session)
      ]);
    } else if (kind === 'ended') {
      const text = trans.__('%1 has ended: %2', session.name, session.message);
      this._emit(session, text, 'warning', false, [
        this._action(trans.__('Start again'), CommandIDs.restart, session, 'accent')
      ]);
    } else {
      const left = duration(timeLeft(session, model.now) ?? 0, trans);
      const actions = [this._action(trans.__('Open'), CommandIDs.open, session)];
      if (session.actions.includes('extend')) {
        actions.unshift(
          this._action(
            trans.__('Extend by %1', duration(EXTENSION * 1_000, trans)),
            CommandIDs.extend,
            session,
            'accent',
            { seconds: EXTENSION }
          )
        );
      }
      const text = trans.__('%1 ends in %2.', session.name, left);
      this._emit(session, text, 'warning', false, actions);
    }
  }

  private _emit(
    session: ISession,
    text: string,
    type: Notification.TypeOptions,
    autoClose: number | false,
    actions: Notification.IAction[]
  ): void {
    this._shown.set(session.id, Notification.emit(text, type, { actions, autoClose }));
  }

  private _action(
    label: string,
    command: string,
    session: ISession,
    displayType: Notification.ActionDisplayType = 'default',
    args: { seconds?: number } = {}
  ): Notification.IAction {
    return {
      label,
      displayType,
      callback: () => {
        void this.options.commands.execute(command, { id: session.id, ...args });
      }
    };
  }

  private _dismiss(id: string): void {
    const shown = this._shown.get(id);
    if (shown) {
      Notification.dismiss(shown);
      this._shown.delete(id);
    }
  }

  /** The last notification of each session. */
  private readonly _shown = new Map<string, string>();
}
