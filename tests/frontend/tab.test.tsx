import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Widget } from '@lumino/widgets';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommandIDs } from '../../labextension/src/commandids';
import { SessionsModel } from '../../labextension/src/model';
import { SessionTab } from '../../labextension/src/sessiontab';
import { sceneOf, stepsOf } from '../../labextension/src/tab/scene';
import type { ISession } from '../../labextension/src/tokens';
import { FakeTransport, session } from './fakes';

// What CodeMirror and Lumino expect, and jsdom does not have.
Range.prototype.getClientRects ??= () => [] as unknown as DOMRectList;
globalThis.PointerEvent ??= MouseEvent as unknown as typeof PointerEvent;

const trans = nullTranslator.load('jupyter_sessions');
const ENDED = { state: 'stopped', actions: ['restart', 'logs', 'delete'] } as const;

let transport: FakeTransport;
let model: SessionsModel;
let commands: CommandRegistry;
let executed: string[];
let tab: SessionTab;

async function begin(changes?: Partial<ISession>): Promise<void> {
  transport.sessions = changes ? [session({ name: 'Mine', ...changes })] : [];
  transport.events.connected = true;
  model = new SessionsModel(transport);
  await model.ready;
}

async function open(changes?: Partial<ISession>): Promise<void> {
  await begin(changes);
  tab = new SessionTab({ id: 'abc', model, commands, trans });
  Widget.attach(tab, document.body);
  await drawn();
}

/** Tell the tab of a change, as the server would. */
async function change(changes: Partial<ISession>): Promise<void> {
  const before = model.get('abc')!;
  const after = { ...before, ...changes, revision: before.revision + 1 };
  transport.events.tell({ id: 'abc', change: 'updated', session: after });
  await drawn();
}

/** Until React and the animation frames have done what was asked for. */
async function drawn(): Promise<void> {
  for (let n = 0; n < 3; n++) {
    await new Promise(resolve => requestAnimationFrame(resolve));
    await new Promise(resolve => setTimeout(resolve));
  }
}

const frame = (): HTMLIFrameElement | null => tab.node.querySelector('iframe');
/** What people can read. */
function seen(): string {
  const nodes = [...tab.node.querySelectorAll('.jp-sessions-stage *')];
  return nodes
    .filter(node => !node.closest('.lm-mod-hidden, [hidden]'))
    .flatMap(node => [...node.childNodes])
    .filter(node => node.nodeType === Node.TEXT_NODE)
    .map(node => node.textContent)
    .join('|');
}
function buttons(): string[] {
  return [...tab.node.querySelectorAll('.jp-sessions-stage button')]
    .filter(node => !node.closest('.lm-mod-hidden, [hidden]'))
    .map(node => node.textContent);
}

beforeEach(() => {
  transport = new FakeTransport();
  commands = new CommandRegistry();
  executed = [];
  const actions = {
    [CommandIDs.stop]: 'stop',
    [CommandIDs.restart]: 'restart',
    [CommandIDs.logs]: 'logs',
    [CommandIDs.forget]: 'delete'
  } as const;
  for (const [command, action] of Object.entries(actions)) {
    commands.addCommand(command, {
      label: action,
      isEnabled: () => model.get('abc')?.actions.includes(action) ?? false,
      execute: args => void executed.push(`${command} ${String(args['id'])}`)
    });
  }
  commands.addCommand(CommandIDs.openInBrowser, {
    label: 'browser',
    execute: () => undefined
  });
});

afterEach(() => {
  tab?.dispose();
  model.dispose();
});

describe('scenes', () => {
  it.each<[Partial<ISession>, string]>([
    [{ state: 'created' }, 'coming'],
    [{ state: 'queued' }, 'coming'],
    [{ state: 'starting' }, 'coming'],
    [{ state: 'running' }, 'running'],
    [{ state: 'suspended' }, 'suspended'],
    [{ state: 'stopping' }, 'stopping'],
    [ENDED, 'stopped'],
    [{ ...ENDED, state: 'failed' }, 'failed'],
    // Asked to start again, but the next attempt has not begun.
    [{ state: 'stopped', actions: ['logs', 'restart', 'stop'] }, 'coming']
  ])('%j: %s', async (changes, scene) => {
    await begin(changes);
    expect(sceneOf(model, 'abc')).toBe(scene);
  });

  it('tells what is gone from what is not known', async () => {
    const problem = new Error('no answer');
    Object.assign(problem, { status: 0 });
    transport.fail = problem;
    await begin();
    expect(sceneOf(model, 'abc')).toBe('looking');
    transport.fail = null;
    await model.refresh();
    expect(sceneOf(model, 'abc')).toBe('gone');
  });
});

describe('steps', () => {
  const told = (changes: Partial<ISession>): string =>
    stepsOf(session(changes), trans)
      .map(({ label, progress }) => `${label}:${progress}`)
      .join(' ');

  it('have a queue where there is one', () => {
    expect(told({ state: 'queued', spawner: 'slurm' })).toBe(
      'Submitting:done Queued:now Starting:next Ready:next'
    );
    expect(told({ state: 'queued' })).toBe('Submitting:now Starting:next Ready:next');
    expect(told({ state: 'starting' })).toBe('Submitting:done Starting:now Ready:next');
  });
});

describe('the toolbar', () => {
  const text = (): string =>
    tab.node.querySelector('.jp-sessions-stateItem')?.textContent ?? '';

  it('has what the app says of itself while it runs', async () => {
    await open({
      message: 'Busy',
      links: [{ title: 'Jobs', url: '/sessions/abc/jobs' }]
    });
    expect(text()).toContain('Busy');
    expect(tab.node.querySelector('a')?.getAttribute('href')).toBe(
      '/sessions/abc/jobs'
    );
    await change({ message: '', links: [] });
    expect(text()).not.toContain('Busy');
    expect(tab.node.querySelector('a')).toBeNull();
  });
});

describe('the frame', () => {
  it('is there once the session runs, and not before', async () => {
    await open({ state: 'starting' });
    expect(frame()).toBeNull();
    await change({ state: 'running' });
    expect(frame()?.getAttribute('src')).toBe('/sessions/abc/');
    expect(frame()?.title).toBe('Mine');
    expect(frame()?.allow).toContain('clipboard-write');
    expect(frame()?.hasAttribute('sandbox')).toBe(false);
  });

  it('stays the same, whatever else changes', async () => {
    await open({});
    const first = frame();
    expect(first).not.toBeNull();
    await change({ name: 'Yours' });
    await change({ expires: '2030-01-01T00:00:00Z', timeout: 1 });
    await change({ unreachable_since: '2026-01-01T00:00:00Z' });
    await change({ unreachable_since: null });
    await change({ state: 'suspended' });
    await change({ state: 'running' });
    await change({ state: 'stopping' });
    expect(frame()).toBe(first);
    expect(first?.title).toBe('Yours');
    expect(tab.title.label).toBe('Yours');
  });

  it('is another one for another attempt', async () => {
    await open({});
    const first = frame();
    await change({ attempt: 2, state: 'created' });
    expect(frame()).toBeNull();
    await change({ state: 'running' });
    expect(frame()).not.toBe(first);
    const second = frame();
    await change({ attempt: 3 }); // all in between was missed
    expect(frame()).not.toBe(second);
  });

  it('waits until somebody looks', async () => {
    await begin({});
    tab = new SessionTab({ id: 'abc', model, commands, trans });
    tab.hide();
    Widget.attach(tab, document.body);
    await drawn();
    expect(frame()).toBeNull();
    tab.show();
    await drawn();
    expect(frame()).not.toBeNull();
  });

  it('is covered while it loads, and cannot be used while it stops', async () => {
    await open({});
    expect(seen()).toContain('Loading Mine…');
    frame()?.dispatchEvent(new Event('load'));
    expect(seen()).not.toContain('Loading');
    expect(frame()?.hasAttribute('inert')).toBe(false);
    await change({ state: 'stopping', target: 'stopped' });
    expect(seen()).toContain('Stopping Mine…');
    expect(frame()?.hasAttribute('inert')).toBe(true);
    await change({ target: 'running', reason: 'restart' });
    expect(seen()).toContain('Restarting Mine…');
  });

  it('begins anew when its place in the page is another one', async () => {
    await open({});
    const first = frame();
    Widget.detach(tab);
    expect(frame()).toBeNull();
    Widget.attach(tab, document.body);
    await drawn();
    expect(frame()).not.toBe(first);
    expect(new URL(frame()!.src).pathname).toBe('/sessions/abc/');
    expect(seen()).toContain('Loading Mine…');
  });

  it('makes its tab the current one when it is entered', async () => {
    await open({});
    const heard: string[] = [];
    for (const name of ['focus', 'pointerdown']) {
      tab.node.addEventListener(name, () => heard.push(name), true);
    }
    const frameElement = frame()!;
    frameElement.focus();
    heard.length = 0;
    window.dispatchEvent(new Event('blur'));
    await drawn();
    expect(heard).toEqual(['focus', 'pointerdown']);
  });
});

describe('what there is instead', () => {
  it('says how far it has come', async () => {
    await open({
      state: 'queued',
      spawner: 'slurm',
      message: 'Slurm job 7 waits: Priority',
      actions: ['logs', 'stop', 'delete']
    });
    await vi.waitFor(() => expect(seen()).toContain('Slurm job 7 waits: Priority'));
    const step = tab.node.querySelector('[aria-current="step"]');
    expect(step?.textContent).toBe('Queued');
    expect(buttons()).toContain('stop');
    tab.node.querySelector<HTMLElement>('.jp-sessions-pane button')?.click();
    expect(executed).toEqual([`${CommandIDs.stop} abc`]);
  });

  it('shows the log while it comes and after it has failed', async () => {
    transport.lines = ['\x1b[31mno licence\x1b[0m\n'];
    await open({ state: 'starting' });
    await vi.waitFor(() => expect(seen()).toContain('no licence'));
    await change({ state: 'running' });
    expect(tab.node.querySelector('.jp-sessions-log')).toBeNull();
    await change({
      ...ENDED,
      state: 'failed',
      message: 'The app ended with code 3.',
      reason: 'exited',
      exit_code: 3
    });
    await vi.waitFor(() => expect(seen()).toContain('no licence'));
    expect(frame()).toBeNull();
    for (const word of ['Failed', 'The app ended with code 3.', '|3|']) {
      await vi.waitFor(() => expect(seen()).toContain(word));
    }
    expect(buttons()).toEqual(expect.arrayContaining(['restart', 'logs', 'delete']));
    expect(tab.title.className).toContain('failed');
  });

  it('says why it stopped, unless somebody wanted that', async () => {
    await open({ ...ENDED, reason: 'stopped', message: 'Stopped.' });
    await vi.waitFor(() => expect(buttons()).toContain('restart'));
    expect(seen()).not.toContain('Stopped.');
    await change({ reason: 'timeout', message: 'Its time was up.' });
    await vi.waitFor(() => expect(seen()).toContain('Its time was up.'));
  });

  it('can be closed when the session is gone', async () => {
    await open({});
    transport.events.tell({ id: 'abc', change: 'deleted' });
    await vi.waitFor(() => expect(seen()).toContain('has been forgotten'));
    expect(frame()).toBeNull();
    const close = [...tab.node.querySelectorAll('button')].find(
      button => button.textContent === 'Close Tab'
    );
    close?.click();
    await drawn();
    expect(tab.isDisposed).toBe(true);
  });

  it('warns above the app, which stays', async () => {
    await open({ unreachable_since: '2026-01-01T00:00:00Z' });
    const banner = tab.node.querySelector('.jp-sessions-banner');
    await vi.waitFor(() =>
      expect(banner?.textContent).toContain('may well be running')
    );
    expect(frame()).not.toBeNull();
  });

  it('shows names as text', async () => {
    await open({
      ...ENDED,
      name: '<img src=x>',
      message: '<b>x</b>',
      reason: 'exited'
    });
    await vi.waitFor(() => expect(seen()).toContain('<img src=x>'));
    expect(tab.node.querySelector('img, b')).toBeNull();
  });
});
