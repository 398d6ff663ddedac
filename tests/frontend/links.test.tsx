import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Menu, Widget } from '@lumino/widgets';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommandIDs } from '../../labextension/src/commandids';
import { addOpening } from '../../labextension/src/commands/open';
import type { ICommandOptions } from '../../labextension/src/commands/shared';
import { SessionsModel } from '../../labextension/src/model';
import { SessionsPanel, fillSessionMenu } from '../../labextension/src/panel';
import type { ISession } from '../../labextension/src/tokens';
import { FakeTransport, session } from './fakes';

const trans = nullTranslator.load('jupyter_sessions');
const LINKS = [
  { title: 'Dashboard', url: '/sessions/abc/dash/' },
  { title: 'Metrics', url: '/sessions/abc/metrics' }
];

let model: SessionsModel;
let commands: CommandRegistry;
let panel: SessionsPanel;

async function begin(changes: Partial<ISession>): Promise<void> {
  const transport = new FakeTransport();
  transport.sessions = [session(changes)];
  transport.events.connected = true;
  model = new SessionsModel(transport);
  await model.ready;
  const options: unknown = { app: { commands }, model, trans, showLogs: vi.fn() };
  addOpening(options as ICommandOptions);
  panel = new SessionsPanel({ model, commands, trans });
  Widget.attach(panel, document.body);
  for (let n = 0; n < 3; n++) {
    await new Promise(resolve => requestAnimationFrame(resolve));
    await new Promise(resolve => setTimeout(resolve));
  }
}

beforeEach(() => {
  commands = new CommandRegistry();
});

afterEach(() => {
  panel.dispose();
  model.dispose();
  vi.restoreAllMocks();
});

describe('What an app tells of itself', () => {
  it('shows on the card while it runs', async () => {
    await begin({ message: 'Loading data, 40 %', links: LINKS });
    const said = panel.node.querySelector('.jp-sessions-message');
    expect(said?.textContent).toBe('Loading data, 40 %');
    const links = [...panel.node.querySelectorAll<HTMLAnchorElement>('a')];
    expect(links.map(a => [a.textContent, a.getAttribute('href')])).toEqual([
      ['Dashboard', '/sessions/abc/dash/'],
      ['Metrics', '/sessions/abc/metrics']
    ]);
    expect(new Set(links.map(a => a.target)).size).toBe(2);
  });

  it('leaves the card as it is if there is nothing', async () => {
    await begin({});
    expect(panel.node.querySelector('.jp-sessions-message')).toBeNull();
    expect(panel.node.querySelector('.jp-sessions-links')).toBeNull();
  });

  it('offers its links in the menu', async () => {
    await begin({ links: LINKS });
    const menu = new Menu({ commands });
    fillSessionMenu(menu, model.get('abc')!);
    const items = menu.items.filter(item => item.command === CommandIDs.openLink);
    expect(items.map(item => [item.label, item.isEnabled])).toEqual([
      ['Dashboard', true],
      ['Metrics', true]
    ]);
    menu.dispose();
  });

  it('opens a link in a browser tab of its own', async () => {
    await begin({ links: LINKS });
    const open = vi.spyOn(window, 'open').mockReturnValue(null);
    await commands.execute(CommandIDs.openLink, { id: 'abc', link: 1 });
    expect(open).toHaveBeenCalledWith(
      '/sessions/abc/metrics',
      expect.stringContaining('abc')
    );
    expect(commands.isEnabled(CommandIDs.openLink, { id: 'abc', link: 2 })).toBe(false);
    expect(commands.isEnabled(CommandIDs.openLink, { id: 'other', link: 0 })).toBe(
      false
    );
  });
});
