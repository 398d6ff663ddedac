/** The front end's plugins: what is wired to what. */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { IMainMenu } from '@jupyterlab/mainmenu';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { MainAreaWidget } from '@jupyterlab/apputils';
import { Transport } from './api';
import { CommandIDs } from './commandids';
import { addCommands } from './commands';
import { addToFileBrowser } from './filebrowser';
import { addTiles, addToFileMenu, addToPalette } from './launcher';
import { createLogTab, type LogView } from './logs';
import { SessionsModel } from './model';
import { Notifications } from './notifications';
import { SessionsPanel } from './panel';
import { addRunningSection } from './running';
import { SessionTab } from './sessiontab';
import { Settings } from './settings';
import { SessionsStatus } from './statusbar';
import { ISessionsModel } from './tokens';

export { ISessionsModel } from './tokens';
export type * from './tokens';

const DOMAIN = 'jupyter_sessions';
const MAIN = 'jupyter-sessions:plugin';

const model: JupyterFrontEndPlugin<ISessionsModel> = {
  id: 'jupyter-sessions:model',
  description: 'What this front end knows of the sessions of its server.',
  autoStart: true,
  provides: ISessionsModel,
  activate: (app: JupyterFrontEnd) =>
    new SessionsModel(new Transport(app.serviceManager.serverSettings))
};

const main: JupyterFrontEndPlugin<void> = {
  id: MAIN,
  description: 'Commands, panel, session tabs, logs, notifications.',
  autoStart: true,
  requires: [ISessionsModel],
  optional: [
    ITranslator,
    ISettingRegistry,
    ILabShell,
    ILayoutRestorer,
    ICommandPalette,
    ILauncher,
    IMainMenu,
    IDefaultFileBrowser,
    IRunningSessionManagers,
    IStatusBar
  ],
  activate: (
    app: JupyterFrontEnd,
    model: ISessionsModel,
    translator: ITranslator | null,
    registry: ISettingRegistry | null,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    mainMenu: IMainMenu | null,
    browser: IDefaultFileBrowser | null,
    running: IRunningSessionManagers | null,
    statusBar: IStatusBar | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const settings = new Settings();
    const { commands, shell } = app;

    const tabs = new WidgetTracker<SessionTab>({ namespace: 'jupyter-sessions' });
    const logs = new WidgetTracker<MainAreaWidget<LogView>>({
      namespace: 'jupyter-sessions-logs'
    });
    const openTab = (id: string): void => {
      let tab = tabs.find(each => each.sessionId === id);
      if (!tab) {
        tab = new SessionTab({ id, model, commands, trans });
        shell.add(tab, 'main', { type: 'Sessions' });
        void tabs.add(tab);
      }
      shell.activateById(tab.id);
    };
    const showLogs = (id: string): void => {
      let log = logs.find(each => each.content.sessionId === id);
      if (!log) {
        log = createLogTab({ id, model, trans, commands });
        // A notebook's page of its own has room for one thing in the middle.
        shell.add(log, labShell ? 'main' : 'down', {
          type: 'Sessions',
          mode: 'split-bottom'
        });
        void logs.add(log);
      }
      shell.activateById(log.id);
    };

    addCommands({
      app,
      model,
      settings,
      trans,
      ...(labShell ? { openTab } : {}),
      showLogs,
      currentFolder: () =>
        browser ? app.serviceManager.contents.localPath(browser.model.path) : undefined
    });

    const panel = new SessionsPanel({ model, commands, trans });
    shell.add(panel, 'left', { rank: 450, type: 'Sessions' });
    commands.addCommand(CommandIDs.showPanel, {
      label: trans.__('Show Sessions'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => shell.activateById(panel.id)
    });

    new Notifications({
      model,
      settings,
      commands,
      trans,
      isSeen: id =>
        document.visibilityState === 'visible' &&
        tabs.find(tab => tab.sessionId === id && tab.isVisible) !== undefined
    });

    if (registry) {
      settings.load(registry, MAIN).catch((error: unknown) => {
        console.warn('jupyter_sessions: the settings could not be loaded', error);
      });
    }
    if (restorer) {
      restorer.add(panel, 'jupyter-sessions-panel');
      if (labShell) {
        void restorer.restore(tabs, {
          command: CommandIDs.open,
          args: tab => ({ id: tab.sessionId, where: 'lab' }),
          name: tab => tab.sessionId,
          when: model.ready
        });
        void restorer.restore(logs, {
          command: CommandIDs.logs,
          args: log => ({ id: log.content.sessionId }),
          name: log => log.content.sessionId,
          when: model.ready
        });
      }
    }
    if (palette) {
      addToPalette(palette, model, settings, trans);
    }
    if (launcher) {
      addTiles(launcher, model, settings);
    }
    if (mainMenu) {
      addToFileMenu(mainMenu, model, settings);
    }
    if (browser) {
      addToFileBrowser(app, browser, model, trans);
    }
    if (running) {
      addRunningSection(running, model, commands, trans);
    }
    if (statusBar) {
      const item = new SessionsStatus(model, commands, trans);
      statusBar.registerStatusItem('jupyter-sessions:status', {
        item,
        align: 'left',
        rank: 3,
        isActive: () => item.isUseful && settings.now.statusBar,
        activeStateChanged: model.changed
      });
    }
  }
};

export default [model, main];
