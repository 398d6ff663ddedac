/** Open a session, its log, or its URL elsewhere. */

import { Clipboard, Notification } from '@jupyterlab/apputils';
import { CommandIDs } from '../commandids';
import { linkTarget } from '../format';
import type { ILink, ISession } from '../tokens';
import { ID_SCHEMA, idOf, may, type Args, type ICommandOptions } from './shared';

export function addOpening({
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

  const linkOf = (args: Args): ILink | undefined =>
    model.get(idOf(args))?.links[Number(args['link'])];

  commands.addCommand(CommandIDs.openLink, {
    label: args => linkOf(args)?.title ?? trans.__('Open Link'),
    describedBy: {
      args: {
        type: 'object',
        required: ['id', 'link'],
        properties: {
          ...ID_SCHEMA.properties,
          link: { type: 'integer', minimum: 0, description: 'Its number, from 0' }
        }
      }
    },
    isEnabled: args => linkOf(args) !== undefined,
    execute: args => {
      const link = linkOf(args);
      if (link) {
        window.open(link.url, linkTarget(idOf(args), link));
      }
    }
  });

  commands.addCommand(CommandIDs.logs, {
    label: trans.__('Logs'),
    caption: trans.__('What the app has printed'),
    describedBy: { args: ID_SCHEMA },
    isEnabled: args => may(model, args, 'logs'),
    execute: args => {
      // A window that is restored asks for logs of sessions that may be gone.
      if (model.get(idOf(args))) {
        showLogs(idOf(args));
      }
    }
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
