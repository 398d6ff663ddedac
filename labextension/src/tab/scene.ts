/** What a session's tab has to show. Pure. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { hasEnded, isComing, stateLabel } from '../format';
import type { ISession, ISessionsModel } from '../tokens';

/**
 * `looking`: the server has not told yet whether there is such a session; `gone`: there is none;
 * all others as the states of a session, those on the way to running taken together.
 */
export type Scene =
  | 'looking'
  | 'gone'
  | 'coming'
  | 'running'
  | 'suspended'
  | 'stopping'
  | 'stopped'
  | 'failed';

type Knowledge = Pick<ISessionsModel, 'get' | 'connection' | 'problem'>;

export function sceneOf(model: Knowledge, id: string): Scene {
  const session = model.get(id);
  if (!session) {
    return isGone(model, id) ? 'gone' : 'looking';
  }
  if (isComing(session) || isStartedAgain(session)) {
    return 'coming';
  }
  return session.state as Exclude<ISession['state'], 'created' | 'queued' | 'starting'>;
}

/** Whether the server has answered, and there is no session `id`. */
export function isGone(model: Knowledge, id: string): boolean {
  const isKnown =
    model.connection === 'live' ||
    (model.connection === 'polling' && model.problem === '');
  return isKnown && model.get(id) === undefined;
}

/** Its attempt has ended, and the next one is asked for but has not begun. */
function isStartedAgain(session: ISession): boolean {
  return hasEnded(session) && session.actions.includes('stop');
}

/** Whether it only stops in order to start; what fails ends in the same way, but for good. */
export function isRestarting(session: ISession): boolean {
  return (
    isStartedAgain(session) ||
    (session.state === 'stopping' &&
      session.target === 'running' &&
      session.reason === 'restart')
  );
}

export interface IStep {
  readonly label: string;
  readonly progress: 'done' | 'now' | 'next';
}

/** The way to a running session, and how far it has come. */
export function stepsOf(session: ISession, trans: TranslationBundle): readonly IStep[] {
  const states: ('created' | 'queued' | 'starting')[] = ['created', 'starting'];
  // On this machine nothing waits for its turn.
  if (session.spawner !== 'local') {
    states.splice(1, 0, 'queued');
  }
  const state =
    session.state === 'queued' && session.spawner === 'local'
      ? 'created'
      : session.state;
  const at = Math.max(0, states.indexOf(state as (typeof states)[number]));
  return [
    ...states.map((each, n): IStep => ({
      label: stateLabel(each, trans),
      progress: n < at ? 'done' : n === at ? 'now' : 'next'
    })),
    { label: trans.__('Ready'), progress: 'next' }
  ];
}
