import { Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommandIDs } from '../../labextension/src/commandids';
import { SessionsModel } from '../../labextension/src/model';
import { Notifications } from '../../labextension/src/notifications';
import { Settings } from '../../labextension/src/settings';
import type { ISessionEvent } from '../../labextension/src/tokens';
import { FakeTransport, session } from './fakes';

let server: FakeTransport;
let model: SessionsModel;
let settings: Settings;
let executed: [string, unknown][];
let seen: string[];

/** A window with everything in it; all of them share the browser's storage. */
async function openWindow(): Promise<void> {
  server = new FakeTransport();
  server.sessions = [session({ state: 'starting' })];
  model = new SessionsModel(server);
  settings = new Settings();
  const commands = new CommandRegistry();
  executed = [];
  seen = [];
  for (const id of [CommandIDs.open, CommandIDs.logs, CommandIDs.extend]) {
    commands.addCommand(id, {
      execute: args => {
        executed.push([id, args]);
      }
    });
  }
  new Notifications({
    model,
    settings,
    commands,
    trans: nullTranslator.load('jupyter_sessions'),
    isSeen: id => seen.includes(id)
  });
  await model.ready;
}

async function tell(event: ISessionEvent, on = [server]): Promise<void> {
  on.forEach(each => each.events.tell(event));
  await vi.advanceTimersByTimeAsync(2_000);
}

function texts(): string[] {
  return Notification.manager.notifications.map(each => each.message);
}

const ready = {
  id: 'abc',
  change: 'running',
  session: session({ revision: 2 })
} as const;

beforeEach(async () => {
  vi.useFakeTimers();
  localStorage.clear();
  await openWindow();
});

afterEach(() => {
  Notification.dismiss();
  model.dispose();
  vi.useRealTimers();
});

describe('a notification', () => {
  it('says that a session is ready, and opens it', async () => {
    await tell(ready);
    expect(texts()).toEqual(['Mine is ready.']);
    const [action] = Notification.manager.notifications[0]?.options.actions ?? [];
    action?.callback(new MouseEvent('click'));
    expect(executed).toEqual([[CommandIDs.open, { id: 'abc' }]]);
  });

  it('says why one has failed', async () => {
    await tell({
      id: 'abc',
      change: 'failed',
      session: session({ state: 'failed', message: 'No such file.', revision: 2 })
    });
    expect(texts()).toEqual(['Mine has failed: No such file.']);
  });

  it('says that one was ended, but not by whoever stopped it', async () => {
    const message = 'Slurm job 8 was cancelled.';
    const stopped = { state: 'stopped', message } as const;
    await tell({
      id: 'abc',
      change: 'stopped',
      session: session({ ...stopped, reason: 'stopped', revision: 2 })
    });
    expect(texts()).toEqual([]);
    await tell({
      id: 'abc',
      change: 'stopped',
      session: session({ ...stopped, reason: 'cancelled', revision: 3 })
    });
    expect(texts()).toEqual(['Mine has ended: Slurm job 8 was cancelled.']);
  });

  it('offers more time before the end, if there is any', async () => {
    const expires = new Date(Date.now() + 300_000).toISOString();
    const expiring = { expires, revision: 2 };
    await tell({ id: 'abc', change: 'expiring', session: session(expiring) });
    expect(texts()[0]).toMatch(/Mine ends in 4 min\./);
    const labels = (): string[] =>
      Notification.manager.notifications.flatMap(
        each => each.options.actions?.map(action => action.label) ?? []
      );
    expect(labels()).toEqual(['Open']);
    await tell({
      id: 'abc',
      change: 'expiring',
      session: session({
        expires: new Date(Date.now() + 200_000).toISOString(),
        actions: ['extend'],
        revision: 3
      })
    });
    expect(labels()).toEqual(['Extend by 1 h', 'Open']);
  });

  it('comes once, however often the server tells', async () => {
    await tell(ready);
    await tell(ready);
    expect(texts()).toHaveLength(1);
  });

  it('comes in one of two windows', async () => {
    const first = server;
    await openWindow();
    await tell(ready, [first, server]);
    expect(texts()).toHaveLength(1);
  });

  it('comes again for the next attempt', async () => {
    await tell(ready);
    await tell({
      id: 'abc',
      change: 'restarted',
      session: session({ state: 'created', attempt: 2, revision: 3 })
    });
    expect(texts()).toEqual([]); // what was said of the first is no longer so
    await tell({
      id: 'abc',
      change: 'running',
      session: session({ attempt: 2, revision: 4 })
    });
    expect(texts()).toEqual(['Mine is ready.']);
  });

  it('is not for what people see anyway, nor for what they do not want', async () => {
    seen = ['abc'];
    await tell(ready);
    expect(texts()).toEqual([]);
    seen = [];
    await settings.set('notifications', { ready: true, failed: false, expiring: true });
    await tell({
      id: 'abc',
      change: 'failed',
      session: session({ state: 'failed', revision: 3 })
    });
    expect(texts()).toEqual([]);
  });

  it('goes with its session', async () => {
    await tell(ready);
    await tell({ id: 'abc', change: 'deleted' });
    expect(texts()).toEqual([]);
  });
});
