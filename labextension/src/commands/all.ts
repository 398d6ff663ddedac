/** What concerns all sessions at once. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { CommandIDs } from '../commandids';
import { hasEnded, stateLabel } from '../format';
import { attempt, type ICommandOptions } from './shared';

export function addForAll({ app, model, trans, closeTabs }: ICommandOptions): void {
  const { commands } = app;
  const none = { args: { type: 'object', properties: {} } } as const;

  commands.addCommand(CommandIDs.refresh, {
    label: trans.__('Refresh Sessions'),
    describedBy: none,
    execute: () => model.refresh()
  });

  commands.addCommand(CommandIDs.forgetEnded, {
    label: trans.__('Forget Ended Sessions'),
    caption: trans.__('Remove them from the list, with their logs'),
    describedBy: none,
    isEnabled: () => model.sessions.some(hasEnded),
    execute: async () => {
      const ended = model.sessions.filter(hasEnded);
      const answer = await showDialog({
        title: trans._n(
          'Forget the ended session?',
          'Forget %1 ended sessions?',
          ended.length
        ),
        body: trans.__('Their logs are deleted with them.'),
        buttons: [
          Dialog.cancelButton({ label: trans.__('Cancel') }),
          Dialog.warnButton({ label: trans.__('Forget') })
        ]
      });
      if (answer.button.accept) {
        await attempt(trans, trans.__('Not all could be removed'), async () => {
          await Promise.all(
            ended.map(async ({ id }) => {
              await model.forget(id);
              closeTabs(id);
            })
          );
        });
      }
    }
  });

  commands.addCommand(CommandIDs.stopAll, {
    label: trans.__('Stop All Sessions'),
    describedBy: none,
    isEnabled: () => model.sessions.some(session => !hasEnded(session)),
    execute: async () => {
      const open = model.sessions.filter(session => session.actions.includes('stop'));
      const answer = await showDialog({
        title: trans._n('Stop the session?', 'Stop all %1 sessions?', open.length),
        body: open
          .map(session => `${session.name}: ${stateLabel(session.state, trans)}`)
          .join('\n'),
        buttons: [
          Dialog.cancelButton({ label: trans.__('Cancel') }),
          Dialog.warnButton({ label: trans.__('Stop All') })
        ]
      });
      if (answer.button.accept) {
        await attempt(trans, trans.__('Not all could be stopped'), async () => {
          await Promise.all(open.map(session => model.stop(session.id)));
        });
      }
    }
  });
}
