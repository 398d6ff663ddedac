/** "Open in Session" in the file browser's context menu: a folder, or a file, in an app. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import type { TranslationBundle } from '@jupyterlab/translation';
import { RankedMenu } from '@jupyterlab/ui-components';
import type { JSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { CommandIDs } from './commandids';
import { appIcon, sessionsIcon } from './icons';
import type { IApp, ISessionsModel } from './tokens';

/** Start an app for what is selected in the file browser: `{app}`. */
export const OPEN_SELECTED = 'sessions:open-selected';
const RANK = 3.5; // below "Open With"

export function addToFileBrowser(
  app: JupyterFrontEnd,
  browser: IDefaultFileBrowser,
  model: ISessionsModel,
  trans: TranslationBundle
): void {
  const { commands } = app;
  const drive = app.serviceManager.contents;

  /** The folder or the file that was pointed at. */
  const selected = (): { cwd?: string; file?: string } => {
    const items = [...browser.selectedItems()];
    const item = items[0];
    if (!item) {
      return { cwd: drive.localPath(browser.model.path) };
    }
    const path = drive.localPath(item.path);
    return item.type === 'directory' ? { cwd: path } : { file: path };
  };

  commands.addCommand(OPEN_SELECTED, {
    label: args => model.app(nameOf(args))?.title ?? nameOf(args),
    icon: args => appIcon(model, nameOf(args)),
    describedBy: {
      args: {
        type: 'object',
        required: ['app'],
        properties: {
          app: { type: 'string', description: "The app's name, such as code-server" }
        }
      }
    },
    isVisible: args => {
      const found = model.app(nameOf(args));
      const { file } = selected();
      return (
        found !== undefined &&
        found.available &&
        (file === undefined ? takes(found, 'cwd') : takes(found, 'file', file))
      );
    },
    execute: args => {
      const { cwd, file } = selected();
      const found = model.app(nameOf(args));
      const place =
        file !== undefined && found && takes(found, 'file')
          ? { file }
          : { cwd: cwd ?? folderOf(file ?? '') };
      return commands.execute(CommandIDs.start, { app: nameOf(args), ...place });
    }
  });

  const menu = new RankedMenu({ commands, rank: RANK });
  menu.id = 'jp-sessions-open-menu';
  menu.title.label = trans.__('Open in Session');
  menu.title.icon = sessionsIcon;
  const fill = (): void => {
    menu.clearItems();
    for (const each of model.apps.filter(a => takes(a, 'cwd') || takes(a, 'file'))) {
      menu.addItem({ command: OPEN_SELECTED, args: { app: each.name } });
    }
  };
  model.appsChanged.connect(fill);
  fill();
  app.contextMenu.addItem({
    type: 'submenu',
    submenu: menu,
    selector: '.jp-DirListing-content',
    rank: RANK
  });
}

function nameOf(args: ReadonlyPartialJSONObject): string {
  const name = args['app'];
  return typeof name === 'string' ? name : '';
}

/**
 * Whether `app` has an option that gets the folder, or the file, that people point at; with the
 * path of a file, whether it is for files with such names.
 */
export function takes(app: IApp, what: 'cwd' | 'file', path?: string): boolean {
  const properties = (app.options['properties'] ?? {}) as {
    [name: string]: JSONObject;
  };
  return Object.values(properties).some(
    schema =>
      schema['x-default-from'] === what &&
      (path === undefined || suits(path, schema['x-file-patterns']))
  );
}

function suits(path: string, patterns: unknown): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return (
    !Array.isArray(patterns) ||
    patterns.some(pattern => typeof pattern === 'string' && matches(name, pattern))
  );
}

/** Whether `name` is one that `pattern` stands for, with `*` and `?` as in a shell. */
function matches(name: string, pattern: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${source}$`, 'isu').test(name);
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
