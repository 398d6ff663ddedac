/** The panel in the left sidebar. */

import {
  PanelWithToolbar,
  ReactWidget,
  Toolbar,
  ToolbarButton,
  addIcon,
  refreshIcon
} from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { Menu, Widget } from '@lumino/widgets';
import * as React from 'react';
import { CommandIDs } from './commandids';
import { PanelContext } from './components/context';
import { SessionList } from './components/list';
import { hasEnded, isComing } from './format';
import { sessionsIcon } from './icons';
import type { IApp, ISession, ISessionsModel } from './tokens';

export interface IPanelOptions {
  model: ISessionsModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

export class SessionsPanel extends PanelWithToolbar {
  constructor(private readonly options: IPanelOptions) {
    super();
    const { commands, trans } = options;
    this.id = 'jp-sessions-panel';
    this.addClass('jp-sessions-panel');
    this.title.icon = sessionsIcon;
    this.title.caption = trans.__('Sessions');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Sessions'));

    const heading = new Widget();
    heading.addClass('jp-sessions-heading');
    heading.node.textContent = trans.__('Sessions');
    this.toolbar.addItem('heading', heading);
    this.toolbar.addItem('spacer', Toolbar.createSpacerItem());
    this.toolbar.node.setAttribute('aria-label', trans.__('Sessions toolbar'));
    this._newButton = new ToolbarButton({
      icon: addIcon,
      tooltip: trans.__('New session'),
      onClick: () => this.openNewMenu()
    });
    this.toolbar.addItem('new', this._newButton);
    this.toolbar.addItem(
      'refresh',
      new ToolbarButton({
        icon: refreshIcon,
        tooltip: trans.__('Ask the server again'),
        onClick: () => void commands.execute(CommandIDs.refresh)
      })
    );
    this.addWidget(this.toolbar);
    this.addWidget(new Content(options, (...place) => this._openMenu(...place)));
  }

  /** Let people choose what to start. */
  openNewMenu(): void {
    const menu = new Menu({ commands: this.options.commands });
    fillNewMenu(menu, this.options.model.apps, this.options.trans);
    const { left, bottom } = this._newButton.node.getBoundingClientRect();
    show(menu, left, bottom);
  }

  override dispose(): void {
    this._watching?.dispose();
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._watching ??= this.options.model.watchUsage();
  }

  protected override onBeforeHide(message: Message): void {
    this._watching?.dispose();
    this._watching = null;
    super.onBeforeHide(message);
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    const card = this.node.querySelector<HTMLElement>(
      '.jp-sessions-card[tabindex="0"]'
    );
    (card ?? this._newButton.node.querySelector<HTMLElement>('jp-button'))?.focus();
  }

  private _openMenu(session: ISession, x: number, y: number): void {
    const menu = new Menu({ commands: this.options.commands });
    fillSessionMenu(menu, session);
    show(menu, x, y);
  }

  private _watching: IDisposable | null = null;
  private readonly _newButton: ToolbarButton;
}

class Content extends ReactWidget {
  constructor(
    private readonly options: IPanelOptions,
    private readonly openMenu: (session: ISession, x: number, y: number) => void
  ) {
    super();
    this.addClass('jp-sessions-content');
  }

  protected override render(): React.JSX.Element {
    const { openMenu } = this;
    return (
      <PanelContext value={{ ...this.options, openMenu }}>
        <SessionList />
      </PanelContext>
    );
  }
}

/** What may be done with `session`, as a menu. */
export function fillSessionMenu(menu: Menu, session: ISession): void {
  const args = { id: session.id };
  const add = (...commands: string[]): void =>
    commands.forEach(command => menu.addItem({ command, args }));
  if (session.state === 'running' || isComing(session)) {
    add(CommandIDs.open, CommandIDs.openInBrowser, CommandIDs.copyUrl);
    if (session.links.length > 0) {
      menu.addItem({ type: 'separator' });
      session.links.forEach((_, link) =>
        menu.addItem({ command: CommandIDs.openLink, args: { ...args, link } })
      );
    }
    menu.addItem({ type: 'separator' });
  }
  add(CommandIDs.logs, CommandIDs.rename, CommandIDs.duplicate);
  menu.addItem({ type: 'separator' });
  if (session.actions.includes('extend')) {
    add(CommandIDs.extend);
  }
  add(CommandIDs.restart);
  if (!hasEnded(session)) {
    add(CommandIDs.stop);
  }
  add(CommandIDs.forget);
}

/** The apps by category; those with something to choose can be started with the form, too. */
export function fillNewMenu(
  menu: Menu,
  apps: readonly IApp[],
  trans: TranslationBundle
): void {
  const categories = new Map<string, IApp[]>();
  for (const app of apps) {
    categories.set(app.category, [...(categories.get(app.category) ?? []), app]);
  }
  for (const members of categories.values()) {
    if (menu.items.length > 0) {
      menu.addItem({ type: 'separator' });
    }
    for (const app of members) {
      menu.addItem({
        command: CommandIDs.start,
        args: { app: app.name, isMenu: true }
      });
    }
  }
  const available = apps.filter(app => app.available);
  if (available.length > 0) {
    const submenu = new Menu({ commands: menu.commands });
    submenu.title.label = trans.__('With Options');
    for (const app of available) {
      submenu.addItem({
        command: CommandIDs.start,
        args: { app: app.name, isMenu: true, ask: true }
      });
    }
    menu.addItem({ type: 'separator' });
    menu.addItem({ type: 'submenu', submenu });
  }
}

function show(menu: Menu, x: number, y: number): void {
  const before = document.activeElement;
  menu.aboutToClose.connect(() => {
    // People go on where they were; a dialog that a command opens takes the focus afterwards.
    if (before instanceof HTMLElement) {
      before.focus();
    }
    // The menu is still needed while its command is on its way.
    requestAnimationFrame(() => {
      menu.dispose();
    });
  });
  menu.open(x, y);
}
