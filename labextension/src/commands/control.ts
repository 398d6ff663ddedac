/** Stop, restart, extend, forget, rename. */

import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import { CommandIDs } from '../commandids';
import { duration, hasEnded } from '../format';
import type { ISession } from '../tokens';
import { attempt, ID_SCHEMA, idOf, may, type ICommandOptions } from './shared';

/** Whether people let the app of `session` end; asked only if something can be lost. */
async function mayEnd(
  session: ISession,
  title: string,
  label: string,
  { settings, trans }: ICommandOptions
): Promise<boolean> {
  if (!settings.now.confirmStop || session.state !== 'running') {
    return true;
  }
  const answer = await showDialog({
    title,
    body: trans.__('What is not saved in it is lost.'),
    checkbox: { label: trans.__('Do not ask me again'), checked: false },
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({ label })
    ]
  });
  if (answer.button.accept && answer.isChecked) {
    await settings.set('confirmStop', false);
  }
  return answer.button.accept;
}

export function addControl(options: ICommandOptions): void {
  const { app, model, trans, closeTabs } = options;
  const { commands } = app;

  commands.addCommand(CommandIDs.stop, {
    label: trans.__('Stop'),
    describedBy: { args: ID_SCHEMA },
    isEnabled: args => may(model, args, 'stop'),
    execute: async args => {
      const session = model.get(idOf(args));
      if (!session) {
        return;
      }
      const title = trans.__('Stop %1?', session.name);
      if (!(await mayEnd(session, title, trans.__('Stop'), options))) {
        return;
      }
      await attempt(trans, trans.__('%1 could not be stopped', session.name), () =>
        model.stop(session.id)
      );
    }
  });

  commands.addCommand(CommandIDs.restart, {
    label: args => {
      const session = model.get(idOf(args));
      return session && hasEnded(session)
        ? trans.__('Start Again')
        : trans.__('Restart');
    },
    caption: trans.__('Under the same URL, with the same choices'),
    describedBy: { args: ID_SCHEMA },
    isEnabled: args => may(model, args, 'restart'),
    execute: async args => {
      const session = model.get(idOf(args));
      if (!session) {
        return;
      }
      const title = trans.__('Restart %1?', session.name);
      if (!(await mayEnd(session, title, trans.__('Restart'), options))) {
        return;
      }
      await attempt(trans, trans.__('%1 could not be started', session.name), () =>
        model.restart(session.id)
      );
    }
  });

  commands.addCommand(CommandIDs.extend, {
    label: args => {
      const seconds = args['seconds'];
      return typeof seconds === 'number'
        ? trans.__('Extend by %1', duration(seconds * 1_000, trans))
        : trans.__('Extend…');
    },
    caption: trans.__('Give it more time'),
    describedBy: {
      args: {
        ...ID_SCHEMA,
        properties: {
          ...ID_SCHEMA.properties,
          seconds: {
            type: 'number',
            description: 'Seconds to add; asked for if not given'
          }
        }
      }
    },
    isEnabled: args => may(model, args, 'extend'),
    execute: async args => {
      const session = model.get(idOf(args));
      if (!session) {
        return;
      }
      let seconds = args['seconds'];
      if (typeof seconds !== 'number') {
        const choices = [30, 60, 120, 240, 480, 1440].map(minutes => minutes * 60);
        const labels = choices.map(choice => duration(choice * 1_000, trans));
        const answer = await InputDialog.getItem({
          title: trans.__('Extend %1', session.name),
          label: trans.__('More time'),
          items: labels,
          current: 1,
          okLabel: trans.__('Extend')
        });
        if (!answer.button.accept || answer.value === null) {
          return;
        }
        seconds = choices[labels.indexOf(answer.value)] ?? 3600;
      }
      const more = seconds;
      await attempt(trans, trans.__('%1 could not be extended', session.name), () =>
        model.extend(session.id, more)
      );
    }
  });

  commands.addCommand(CommandIDs.forget, {
    label: args => {
      const session = model.get(idOf(args));
      return session && !hasEnded(session)
        ? trans.__('Stop and Forget')
        : trans.__('Forget');
    },
    caption: trans.__('Remove it from the list, with its log'),
    describedBy: { args: ID_SCHEMA },
    isEnabled: args =>
      may(model, args, 'delete') || model.unreadable.some(u => u.id === idOf(args)),
    execute: async args => {
      const id = idOf(args);
      const session = model.get(id);
      const name = session?.name ?? id;
      if (!session || !hasEnded(session)) {
        const answer = await showDialog({
          title: trans.__('Stop and forget %1?', name),
          body: trans.__('It ends if it runs, and its log is deleted.'),
          buttons: [
            Dialog.cancelButton({ label: trans.__('Cancel') }),
            Dialog.warnButton({ label: trans.__('Stop and Forget') })
          ]
        });
        if (!answer.button.accept) {
          return;
        }
      }
      await attempt(trans, trans.__('%1 could not be removed', name), async () => {
        await model.forget(id);
        closeTabs(id);
      });
    }
  });
}

export function addNaming({ app, model, trans }: ICommandOptions): void {
  app.commands.addCommand(CommandIDs.rename, {
    label: trans.__('Rename…'),
    describedBy: {
      args: {
        ...ID_SCHEMA,
        properties: {
          ...ID_SCHEMA.properties,
          name: { type: 'string', description: 'The new name; asked for if not given' }
        }
      }
    },
    isEnabled: args => may(model, args, 'rename'),
    execute: async args => {
      const session = model.get(idOf(args));
      if (!session) {
        return;
      }
      let name = args['name'];
      if (typeof name !== 'string') {
        const answer = await InputDialog.getText({
          title: trans.__('Rename %1', session.name),
          label: trans.__('Name'),
          text: session.name,
          okLabel: trans.__('Rename')
        });
        name = answer.button.accept ? (answer.value ?? '').trim() : '';
      }
      if (name && name !== session.name) {
        const fresh = name;
        await attempt(trans, trans.__('%1 could not be renamed', session.name), () =>
          model.rename(session.id, fresh)
        );
      }
    }
  });
}
