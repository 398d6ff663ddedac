/** The front end's plugins: what is wired to what. */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  ICommandPalette,
  WidgetTracker,
  type MainAreaWidget
} from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { IMainMenu } from '@jupyterlab/mainmenu';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import { Token } from '@lumino/coreutils';
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

const MAIN = 'jupyter-sessions:plugin';

/** What our own plugins share. */
interface ICore {
  model: ISessionsModel;
  settings: Settings;
  trans: TranslationBundle;
}

const ICore = new Token<ICore>('jupyter-sessions:ICore');

const model: JupyterFrontEndPlugin<ISessionsModel> = {
  id: 'jupyter-sessions:model',
  description: 'What this front end knows of the sessions of its server.',
  autoStart: true,
  provides: ISessionsModel,
  activate: (app: JupyterFrontEnd) =>
    new SessionsModel(new Transport(app.serviceManager.serverSettings))
};

const core: JupyterFrontEndPlugin<ICore> = {
  id: 'jupyter-sessions:core',
  description: "The sessions' settings and translations.",
  autoStart: true,
  requires: [ISessionsModel],
  optional: [ITranslator, ISettingRegistry],
  provides: ICore,
  activate: (
    _: JupyterFrontEnd,
    model: ISessionsModel,
    translator: ITranslator | null,
    registry: ISettingRegistry | null
  ) => {
    const settings = new Settings();
    if (registry) {
      void load(settings, registry);
    }
    return {
      model,
      settings,
      trans: (translator ?? nullTranslator).load('jupyter_sessions')
    };
  }
};

async function load(settings: Settings, registry: ISettingRegistry): Promise<void> {
  try {
    await settings.load(registry, MAIN);
  } catch (error) {
    console.warn('jupyter_sessions: the settings could not be loaded', error);
  }
}

const main: JupyterFrontEndPlugin<void> = {
  id: MAIN,
  description: 'Commands, panel, session tabs, logs and notifications.',
  autoStart: true,
  requires: [ICore],
  optional: [ILabShell, ILayoutRestorer, IDefaultFileBrowser, IRenderMimeRegistry],
  activate: (
    app: JupyterFrontEnd,
    { model, settings, trans }: ICore,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    browser: IDefaultFileBrowser | null,
    rendermime: IRenderMimeRegistry | null
  ) => {
    const { commands, shell } = app;

    const tabs = new WidgetTracker<SessionTab>({ namespace: 'jupyter-sessions' });
    const openTab = (id: string): void => {
      let tab = tabs.find(each => each.sessionId === id);
      if (!tab) {
        tab = new SessionTab({ id, model, commands, trans });
        shell.add(tab, 'main', { type: 'Sessions' });
        void tabs.add(tab);
      }
      shell.activateById(tab.id);
    };

    const logs = new WidgetTracker<MainAreaWidget<LogView>>({
      namespace: 'jupyter-sessions-logs'
    });
    const showLogs = (id: string): void => {
      let log = logs.find(each => each.content.sessionId === id);
      if (!log) {
        log = createLogTab({ id, model, trans, commands });
        // Notebook's pages have room for one thing in the middle.
        const area = labShell ? 'main' : 'down';
        shell.add(log, area, { type: 'Sessions', mode: 'split-bottom' });
        void logs.add(log);
      }
      shell.activateById(log.id);
    };

    const closeTabs = (id: string): void => {
      tabs.find(each => each.sessionId === id)?.close();
      logs.find(each => each.content.sessionId === id)?.close();
    };

    addCommands({
      app,
      model,
      settings,
      trans,
      rendermime: rendermime ?? undefined,
      ...(labShell ? { openTab } : {}),
      showLogs,
      closeTabs,
      currentFolder: () =>
        browser ? app.serviceManager.contents.localPath(browser.model.path) : undefined
    });

    if (browser) {
      const drive = app.serviceManager.contents;
      const follow = (): void => {
        model.folder = drive.localPath(browser.model.path);
      };
      browser.model.pathChanged.connect(follow);
      follow();
    }

    const panel = new SessionsPanel({ model, commands, trans });
    shell.add(panel, 'left', { rank: 450, type: 'Sessions' });
    commands.addCommand(CommandIDs.showPanel, {
      label: trans.__('Show Sessions'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        shell.activateById(panel.id);
      }
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

    if (restorer && labShell) {
      restorer.add(panel, 'jupyter-sessions-panel');
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
};

const launcher: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sessions:launcher',
  description: 'Apps as tiles of the launcher.',
  autoStart: true,
  requires: [ICore],
  optional: [ILauncher], // Notebook has none
  activate: (
    _: JupyterFrontEnd,
    { model, settings }: ICore,
    launcher: ILauncher | null
  ) => {
    if (launcher) {
      addTiles(launcher, model, settings);
    }
  }
};

const palette: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sessions:palette',
  description: 'Apps and commands in the palette.',
  autoStart: true,
  requires: [ICore, ICommandPalette],
  activate: (
    _: JupyterFrontEnd,
    { model, settings, trans }: ICore,
    palette: ICommandPalette
  ) => {
    addToPalette(palette, model, settings, trans);
  }
};

const menu: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sessions:menu',
  description: 'Apps in the menu File, New.',
  autoStart: true,
  requires: [ICore, IMainMenu],
  activate: (_: JupyterFrontEnd, { model, settings }: ICore, menu: IMainMenu) => {
    addToFileMenu(menu, model, settings);
  }
};

const filebrowser: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sessions:filebrowser',
  description: 'Folders and files opened in an app, from the file browser.',
  autoStart: true,
  requires: [ICore, IDefaultFileBrowser],
  activate: (
    app: JupyterFrontEnd,
    { model, trans }: ICore,
    browser: IDefaultFileBrowser
  ) => {
    addToFileBrowser(app, browser, model, trans);
  }
};

const running: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sessions:running',
  description: 'Sessions in the panel of all that runs.',
  autoStart: true,
  requires: [ICore, IRunningSessionManagers],
  activate: (
    app: JupyterFrontEnd,
    { model, trans }: ICore,
    managers: IRunningSessionManagers
  ) => {
    addRunningSection(managers, model, app.commands, trans);
  }
};

const statusBar: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-sessions:statusbar',
  description: 'How many sessions run, in the status bar.',
  autoStart: true,
  requires: [ICore],
  optional: [IStatusBar], // Notebook has none
  activate: (
    app: JupyterFrontEnd,
    { model, settings, trans }: ICore,
    statusBar: IStatusBar | null
  ) => {
    if (!statusBar) {
      return;
    }
    const item = new SessionsStatus(model, app.commands, trans);
    statusBar.registerStatusItem('jupyter-sessions:status', {
      item,
      align: 'left',
      rank: 3,
      isActive: () => item.isUseful && settings.now.statusBar,
      activeStateChanged: model.changed
    });
  }
};

export default [
  model,
  core,
  main,
  launcher,
  palette,
  menu,
  filebrowser,
  running,
  statusBar
];
