/** Sessions in Lab's own Running panel. */

import type { IRunningSessionManagers, IRunningSessions } from '@jupyterlab/running';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { LabIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { CommandIDs } from './commandids';
import { hasEnded, place, stateLabel } from './format';
import { appIcon } from './icons';
import type { ISession, ISessionsModel } from './tokens';

export function addRunningSection(
  managers: IRunningSessionManagers,
  model: ISessionsModel,
  commands: CommandRegistry,
  trans: TranslationBundle
): void {
  const item = (session: ISession): IRunningSessions.IRunningItem => ({
    open: () => void commands.execute(CommandIDs.open, { id: session.id }),
    // Not the command: the panel has a dialog of its own for "Shut Down All".
    shutdown: () => void model.stop(session.id),
    icon: (): LabIcon => appIcon(model, session.app),
    label: () => session.name,
    labelTitle: () =>
      [session.title, place(session), stateLabel(session.state, trans), session.message]
        .filter(Boolean)
        .join('\n'),
    detail: () => (session.state === 'running' ? '' : stateLabel(session.state, trans))
  });
  managers.add({
    name: trans.__('Sessions'),
    supportsMultipleViews: false,
    running: () => model.sessions.filter(session => !hasEnded(session)).map(item),
    shutdownAll: () => {
      for (const session of model.sessions) {
        if (session.actions.includes('stop')) {
          void model.stop(session.id);
        }
      }
    },
    refreshRunning: () => void model.refresh(),
    runningChanged: model.changed,
    shutdownLabel: trans.__('Stop'),
    shutdownAllLabel: trans.__('Stop All'),
    shutdownAllConfirmationText: trans.__(
      'Are you sure you want to stop all sessions? What is not saved in them is lost.'
    )
  });
}
