/** A session in a tab. */

import { MainAreaWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  CommandToolbarButton,
  Toolbar,
  launchIcon,
  listIcon,
  refreshIcon,
  stopIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { CommandIDs } from './commandids';
import { place, stateLabel } from './format';
import { appIcon, sessionsIcon } from './icons';
import { Stage } from './tab/stage';
import { StateItem } from './tab/stateitem';
import type { ISessionsModel } from './tokens';

export interface ISessionTabOptions {
  /** The session's. */
  id: string;
  model: ISessionsModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/** The app of a session, with a toolbar; or how it comes, or why it does not. */
export class SessionTab extends MainAreaWidget<Stage> {
  constructor(options: ISessionTabOptions) {
    super({ content: new Stage(options, () => this.close()) });
    const { id, model, commands, trans } = options;
    this.sessionId = id;
    this._options = options;
    this.addClass('jp-sessions-tab');
    this.toolbar.node.setAttribute('aria-label', trans.__('Session toolbar'));
    this.toolbar.addItem('state', new StateItem(options));
    this.toolbar.addItem('spacer', Toolbar.createSpacerItem());
    const buttons: [string, string, LabIcon][] = [
      ['logs', CommandIDs.logs, listIcon],
      ['restart', CommandIDs.restart, refreshIcon],
      ['stop', CommandIDs.stop, stopIcon],
      ['browser', CommandIDs.openInBrowser, launchIcon]
    ];
    this._buttons = buttons.map(([name, command, icon]) => {
      const button = new CommandToolbarButton({
        commands,
        id: command,
        args: { id },
        icon,
        label: ''
      });
      this.toolbar.addItem(name, button);
      return button;
    });
    this.content.focusMoved.connect(this._onFocusMoved, this);
    model.changed.connect(this._refresh, this);
    model.appsChanged.connect(this._refresh, this);
    this._refresh();
  }

  readonly sessionId: string;

  private _refresh(): void {
    const { model, trans } = this._options;
    const session = model.get(this.sessionId);
    const { title } = this;
    if (session) {
      title.label = session.name;
      title.icon = appIcon(model, session.app);
      title.caption = [
        trans.__('Name: %1', session.name),
        trans.__('App: %1', session.title),
        trans.__('Runs on: %1', place(session)),
        trans.__('State: %1', stateLabel(session.state, trans))
      ].join('\n');
    } else if (title.label === '') {
      title.label = trans.__('Session');
      title.icon = sessionsIcon;
    }
    title.className = session?.state === 'failed' ? 'jp-sessions-mod-failed' : '';
    this.content.node.setAttribute('aria-label', title.label);
    this._buttons.forEach(button => button.update());
  }

  /**
   * A frame keeps its events to itself. Lumino knows by those of the focus which tab is in use, and
   * menus close when the mouse is pressed elsewhere: so they are told.
   */
  private _onFocusMoved(_: Stage, isInside: boolean): void {
    const { node } = this.content;
    node.dispatchEvent(new FocusEvent(isInside ? 'focus' : 'blur'));
    if (isInside) {
      const outside = { bubbles: true, clientX: -1, clientY: -1 };
      node.dispatchEvent(new PointerEvent('pointerdown', outside));
    }
  }

  private readonly _options: ISessionTabOptions;
  private readonly _buttons: readonly CommandToolbarButton[];
}
