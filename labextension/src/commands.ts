/** The commands: what menus, the palette, tiles, the panel and other extensions call. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import {
  Clipboard,
  Dialog,
  InputDialog,
  Notification,
  showDialog,
  showErrorMessage
} from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { CommandIDs } from './commandids';
import { duration, hasEnded, stateLabel } from './format';
import { appIcon } from './icons';
import type { Settings } from './settings';
import { startSession } from './starting';
import type {
  IRequestProblem,
  ISession,
  ISessionsModel,
  IStartRequest,
  SessionAction
} from './tokens';

export interface ICommandOptions {
  app: JupyterFrontEnd;
  model: ISessionsModel;
  settings: Settings;
  trans: TranslationBundle;
  /** Show a session inside the front end; absent where there are no tabs. */
  openTab?: (id: string) => void;
  showLogs: (id: string) => void;
  /** The folder that the user looks at, relative to the server's root; absent if none. */
  currentFolder: () => string | undefined;
}

type Args = ReadonlyPartialJSONObject;

const ID_SCHEMA = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', description: "The session's id" } }
} as const;

/** Add all commands to the application. */
export function addCommands(options: ICommandOptions): void {
  addStart(options);
  addOpening(options);
  addControl(options);
  addNaming(options);
  addForAll(options);
}

function addStart({
  app,
  model,
  settings,
  trans,
  currentFolder
}: ICommandOptions): void {
  app.commands.addCommand(CommandIDs.start, {
    label: args => {
      const title = model.app(textOf(args, 'app'))?.title ?? trans.__('Session');
      if (args['isTile'] || args['isMenu']) {
        return title;
      }
      return args['ask']
        ? trans.__('Start %1 with Options…', title)
        : trans.__('Start %1', title);
    },
    caption: args => {
      const found = model.app(textOf(args, 'app'));
      if (!found) {
        return trans.__('Start a session');
      }
      return found.available
        ? found.description
        : trans.__('Cannot be started: %1', found.unavailable_reason);
    },
    icon: args => (args['isPalette'] ? undefined : appIcon(model, textOf(args, 'app'))),
    // A tile that cannot be used says why when it is pressed, so it stays enabled.
    isEnabled: args =>
      Boolean(args['isTile']) || model.app(textOf(args, 'app'))?.available !== false,
    describedBy: {
      args: {
        type: 'object',
        required: ['app'],
        properties: {
          app: { type: 'string', description: "The app's name, such as code-server" },
          spawner: { type: 'string', description: 'Where to run' },
          options: { type: 'object', description: "The app's options" },
          resources: { type: 'object', description: 'What to ask of the spawner' },
          timeout: {
            type: ['number', 'null'],
            description: 'Seconds that it may run; null for no limit'
          },
          name: { type: 'string', description: "The session's name" },
          cwd: { type: 'string', description: 'The folder to start in' },
          file: { type: 'string', description: 'The file to open' },
          ask: { type: 'boolean', description: 'Show the form in any case' },
          isTile: { type: 'boolean' },
          isMenu: { type: 'boolean' },
          isPalette: { type: 'boolean' }
        }
      }
    },
    execute: async args => {
      const request = startRequest(args, currentFolder);
      const found = model.app(request.app);
      if (found && !found.available) {
        await showErrorMessage(
          trans.__('%1 cannot be started', found.title),
          found.unavailable_reason,
          [Dialog.okButton({ label: trans.__('Close') })]
        );
        return undefined;
      }
      return attempt(trans, trans.__('The session could not be started'), async () => {
        const ask = Boolean(args['ask']);
        const session = await startSession({ model, settings, trans, request, ask });
        if (session) {
          await app.commands.execute(CommandIDs.open, { id: session.id });
        }
        return session?.id;
      });
    }
  });

  app.commands.addCommand(CommandIDs.duplicate, {
    label: trans.__('Duplicate…'),
    caption: trans.__('Start another session with the same choices'),
    describedBy: { args: ID_SCHEMA },
    isEnabled: args => {
      const session = model.get(idOf(args));
      return session !== undefined && model.app(session.app)?.available === true;
    },
    execute: async args => {
      const session = model.get(idOf(args));
      if (session) {
        await app.commands.execute(CommandIDs.start, {
          app: session.app,
          spawner: session.spawner,
          options: session.options,
          resources: session.resources,
          timeout: session.timeout,
          cwd: session.cwd,
          ask: true
        });
      }
    }
  });
}

function startRequest(
  args: Args,
  currentFolder: () => string | undefined
): IStartRequest {
  const request: IStartRequest = { app: textOf(args, 'app') };
  for (const field of ['spawner', 'name', 'cwd', 'file'] as const) {
    if (typeof args[field] === 'string') {
      request[field] = args[field];
    }
  }
  for (const field of ['options', 'resources'] as const) {
    if (args[field]) {
      request[field] = args[field] as JSONObject;
    }
  }
  if (args['timeout'] !== undefined) {
    request.timeout = args['timeout'] as number | null;
  }
  const folder = currentFolder();
  if (request.cwd === undefined && request.file === undefined && folder !== undefined) {
    request.cwd = folder;
  }
  return request;
}

function addOpening({
  app,
  model,
  settings,
  trans,
  openTab,
  showLogs
}: ICommandOptions): void {
  const { commands } = app;

  const inBrowser = (session: ISession): void => {
    // One browser tab per session: asking again brings up the same one.
    window.open(session.url, `jupyter-session-${session.id}`);
  };

  commands.addCommand(CommandIDs.open, {
    label: trans.__('Open'),
    describedBy: {
      args: {
        ...ID_SCHEMA,
        properties: {
          ...ID_SCHEMA.properties,
          where: {
            enum: ['lab', 'browser'],
            description: 'Where; as the settings and the app say if not given'
          }
        }
      }
    },
    isEnabled: args => model.get(idOf(args)) !== undefined,
    execute: args => {
      const session = model.get(idOf(args));
      if (!session) {
        return;
      }
      const setting = settings.now.openIn;
      const usual = setting === 'app' ? model.app(session.app)?.open_in : setting;
      const where = args['where'] ?? usual;
      if (openTab && where !== 'browser') {
        openTab(session.id);
      } else {
        inBrowser(session);
      }
    }
  });

  commands.addCommand(CommandIDs.openInBrowser, {
    label: trans.__('Open in Browser Tab'),
    describedBy: { args: ID_SCHEMA },
    isEnabled: args => model.get(idOf(args)) !== undefined,
    execute: args => {
      const session = model.get(idOf(args));
      if (session) {
        inBrowser(session);
      }
    }
  });

  commands.addCommand(CommandIDs.logs, {
    label: trans.__('Logs'),
    caption: trans.__('What the app has printed'),
    describedBy: { args: ID_SCHEMA },
    isEnabled: args => may(model, args, 'logs'),
    execute: args => showLogs(idOf(args))
  });

  commands.addCommand(CommandIDs.copyUrl, {
    label: trans.__('Copy URL'),
    describedBy: { args: ID_SCHEMA },
    isEnabled: args => model.get(idOf(args)) !== undefined,
    execute: args => {
      const session = model.get(idOf(args));
      if (session) {
        Clipboard.copyToSystem(model.transport.publicUrl(session));
        Notification.success(trans.__('The URL of %1 was copied.', session.name), {
          autoClose: 2_000
        });
      }
    }
  });
}

function addControl({ app, model, settings, trans }: ICommandOptions): void {
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
      if (settings.now.confirmStop && session.state === 'running') {
        const answer = await showDialog({
          title: trans.__('Stop %1?', session.name),
          body: trans.__('What is not saved in it is lost.'),
          checkbox: { label: trans.__('Do not ask me again'), checked: false },
          buttons: [
            Dialog.cancelButton({ label: trans.__('Cancel') }),
            Dialog.warnButton({ label: trans.__('Stop') })
          ]
        });
        if (!answer.button.accept) {
          return;
        }
        if (answer.isChecked) {
          await settings.set('confirmStop', false);
        }
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
      if (settings.now.confirmStop && session.state === 'running') {
        const answer = await showDialog({
          title: trans.__('Restart %1?', session.name),
          body: trans.__('What is not saved in it is lost.'),
          buttons: [
            Dialog.cancelButton({ label: trans.__('Cancel') }),
            Dialog.warnButton({ label: trans.__('Restart') })
          ]
        });
        if (!answer.button.accept) {
          return;
        }
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
      await attempt(trans, trans.__('%1 could not be removed', name), () =>
        model.forget(id)
      );
    }
  });
}

function addNaming({ app, model, trans }: ICommandOptions): void {
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

function addForAll({ app, model, trans }: ICommandOptions): void {
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
          await Promise.all(ended.map(session => model.forget(session.id)));
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

function textOf(args: Args, name: string): string {
  const value = args[name];
  return typeof value === 'string' ? value : '';
}

function idOf(args: Args): string {
  return textOf(args, 'id');
}

function may(model: ISessionsModel, args: Args, action: SessionAction): boolean {
  return model.get(idOf(args))?.actions.includes(action) ?? false;
}

/** Do it, and tell people if the server refuses. */
async function attempt<T>(
  trans: TranslationBundle,
  title: string,
  work: () => Promise<T>
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    const problem = error as IRequestProblem;
    const message =
      problem.status === 0
        ? trans.__('The Jupyter server does not answer. Nothing was changed.')
        : problem.message;
    await showErrorMessage(title, message, [
      Dialog.okButton({ label: trans.__('Close') })
    ]);
    return undefined;
  }
}
