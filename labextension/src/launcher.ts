/** The apps as tiles, in the palette and in File › New. */

import type { ICommandPalette } from '@jupyterlab/apputils';
import type { ILauncher } from '@jupyterlab/launcher';
import type { IMainMenu } from '@jupyterlab/mainmenu';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet, type IDisposable } from '@lumino/disposable';
import type { Menu } from '@lumino/widgets';
import { CommandIDs } from './commandids';
import type { Settings } from './settings';
import type { IApp, ISessionsModel } from './tokens';

/** Among the categories and items of JupyterLab's own. */
const RANK = 10;

/** Do `show`, and again with a clean slate whenever the apps or the settings change. */
function follow(
  model: ISessionsModel,
  settings: Settings,
  show: (apps: readonly IApp[]) => IDisposable
): void {
  let shown: IDisposable | undefined;
  const again = (): void => {
    shown?.dispose();
    shown = show(model.apps);
  };
  model.appsChanged.connect(again);
  settings.changed.connect(again);
  again();
}

export function addTiles(
  launcher: ILauncher,
  model: ISessionsModel,
  settings: Settings
): void {
  follow(model, settings, apps => {
    const tiles = new DisposableSet();
    const { launcher: which } = settings.now;
    const wanted = apps.filter(
      app => app.launcher && which !== 'none' && (app.available || which === 'all')
    );
    // What can be started comes first.
    const ordered = [...wanted].sort(
      (a, b) => Number(b.available) - Number(a.available)
    );
    ordered.forEach((app, n) => {
      tiles.add(
        launcher.add({
          command: CommandIDs.start,
          args: { app: app.name, isTile: true },
          category: app.category,
          rank: RANK + n
        })
      );
    });
    return tiles;
  });
}

export function addToPalette(
  palette: ICommandPalette,
  model: ISessionsModel,
  settings: Settings,
  trans: TranslationBundle
): void {
  const category = trans.__('Sessions');
  for (const command of [
    CommandIDs.showPanel,
    CommandIDs.refresh,
    CommandIDs.stopAll,
    CommandIDs.forgetEnded
  ]) {
    palette.addItem({ command, category });
  }
  follow(model, settings, apps => {
    const items = new DisposableSet();
    for (const app of apps.filter(each => each.available)) {
      for (const ask of [false, true]) {
        const args = { app: app.name, isPalette: true, ask };
        items.add(palette.addItem({ command: CommandIDs.start, args, category }));
      }
    }
    return items;
  });
}

export function addToFileMenu(
  menu: IMainMenu,
  model: ISessionsModel,
  settings: Settings
): void {
  follow(model, settings, apps => {
    const items: Menu.IItemOptions[] = apps
      .filter(app => app.available)
      .map(app => ({
        command: CommandIDs.start,
        args: { app: app.name, isMenu: true }
      }));
    return menu.fileMenu.newMenu.addGroup(items, 2 * RANK);
  });
}
