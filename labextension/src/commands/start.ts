/** Start an app. */

import { Dialog, showErrorMessage } from '@jupyterlab/apputils';
import type { JSONObject } from '@lumino/coreutils';
import { CommandIDs } from '../commandids';
import { appIcon } from '../icons';
import { startSession } from '../starting';
import type { IStartRequest } from '../tokens';
import {
  attempt,
  ID_SCHEMA,
  idOf,
  textOf,
  type Args,
  type ICommandOptions
} from './shared';

export function addStart({
  app,
  model,
  settings,
  rendermime,
  trans,
  currentFolder
}: ICommandOptions): void {
  app.commands.addCommand(CommandIDs.start, {
    label: args => {
      const title = model.app(textOf(args, 'app'))?.title ?? trans.__('Session');
      if (args['isTile']) {
        return title;
      }
      if (args['isMenu']) {
        return args['ask'] ? trans.__('%1…', title) : title;
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
      if (found.available && found.project && found.project.state !== 'trusted') {
        return trans.__(
          'From the project %1: you are asked before it runs anything',
          found.project.folder
        );
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
        const session = await startSession({
          model,
          settings,
          rendermime,
          trans,
          request,
          ask
        });
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
      return (
        session !== undefined &&
        // A project's app is known where its project is looked at.
        (session.app.startsWith('project:') ||
          model.app(session.app)?.available === true)
      );
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
