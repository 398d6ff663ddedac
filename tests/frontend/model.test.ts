import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RequestProblem } from '../../labextension/src/api';
import { SessionsModel } from '../../labextension/src/model';
import type { IChange } from '../../labextension/src/tokens';
import { FakeTransport, session } from './fakes';

const SECOND = 1_000;

let server: FakeTransport;
let model: SessionsModel;
let happened: IChange[];

function asked(what: string): number {
  return server.asked.filter(each => each === what).length;
}

async function begin(): Promise<void> {
  model = new SessionsModel(server);
  happened = [];
  model.happened.connect((_, change) => {
    happened.push(change);
  });
  await model.ready;
}

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeTransport();
});

afterEach(() => {
  model.dispose();
  vi.useRealTimers();
});

describe('the list', () => {
  it('is asked for at once, newest first, and is no news', async () => {
    server.sessions = [
      session({ id: 'old', created: '2026-01-01T00:00:00+00:00' }),
      session({ id: 'new', created: '2026-01-02T00:00:00+00:00' })
    ];
    await begin();
    expect(model.sessions.map(each => each.id)).toEqual(['new', 'old']);
    expect(model.apps).toHaveLength(1);
    expect(happened).toEqual([]);
  });

  it('says that it loads until then', async () => {
    let open = (): void => undefined;
    server.gate = new Promise(resolve => (open = resolve));
    model = new SessionsModel(server);
    expect(model.connection).toBe('loading');
    open();
    await model.ready;
    expect(model.connection).toBe('polling');
  });

  it('is not asked for while the server tells of changes', async () => {
    await begin();
    server.events.connect();
    await vi.advanceTimersByTimeAsync(0);
    const before = asked('list');
    expect(model.connection).toBe('live');
    await vi.advanceTimersByTimeAsync(600 * SECOND);
    expect(asked('list')).toBe(before);
  });

  it('is asked for again and again, ever more slowly, while nothing is told', async () => {
    await begin();
    await vi.advanceTimersByTimeAsync(10 * SECOND);
    expect(asked('list')).toBeGreaterThan(1);

    server.fail = new RequestProblem('away', 0);
    await vi.advanceTimersByTimeAsync(30 * SECOND);
    expect(model.connection).toBe('offline');
    expect(model.problem).toBe('away');
    const before = asked('list');
    await vi.advanceTimersByTimeAsync(600 * SECOND);
    expect(asked('list') - before).toBeLessThan(75); // 150, if it never slowed down

    server.fail = null;
    await vi.advanceTimersByTimeAsync(120 * SECOND);
    expect(model.connection).toBe('polling');
    expect(model.problem).toBe('');
  });

  it('is asked for once when the server tells again, and what was missed is told', async () => {
    server.sessions = [session({ state: 'starting' }), session({ id: 'gone' })];
    await begin();
    server.events.connect();
    await vi.advanceTimersByTimeAsync(0);
    server.events.connect(false);
    expect(model.connection).toBe('polling');
    server.sessions = [
      session({ state: 'running', revision: 2 }),
      session({ id: 'new' })
    ];
    server.events.connect();
    await vi.advanceTimersByTimeAsync(0);
    expect(model.connection).toBe('live');
    expect(happened.map(each => [each.session.id, each.change, each.live])).toEqual([
      ['abc', 'running', false],
      ['new', 'created', false],
      ['gone', 'deleted', false]
    ]);
    const before = asked('list');
    await vi.advanceTimersByTimeAsync(600 * SECOND);
    expect(asked('list')).toBe(before);
  });

  it('keeps what is known if it cannot be had', async () => {
    server.sessions = [session()];
    await begin();
    server.fail = new RequestProblem('forbidden', 403);
    await model.refresh();
    expect(model.sessions).toHaveLength(1);
    expect(model.problem).toBe('forbidden');
    expect(model.connection).toBe('polling');
  });

  it('names the sessions whose record is damaged', async () => {
    server.unreadable = [{ id: 'bad', message: 'not JSON' }];
    await begin();
    expect(model.unreadable).toHaveLength(1);
    await model.forget('bad');
    expect(model.unreadable).toEqual([]);
  });
});

describe('events', () => {
  it('change the list without a request', async () => {
    await begin();
    server.events.connect();
    await vi.advanceTimersByTimeAsync(0);
    const before = server.asked.length;
    server.events.tell({ id: 'abc', change: 'created', session: session() });
    expect(model.get('abc')?.state).toBe('running');
    server.events.tell({ id: 'abc', change: 'deleted' });
    expect(model.sessions).toEqual([]);
    expect(server.asked.length).toBe(before);
    expect(happened.map(each => each.change)).toEqual(['created', 'deleted']);
  });

  it('that are older than what is known replace nothing', async () => {
    server.sessions = [session({ revision: 5 })];
    await begin();
    server.events.tell({
      id: 'abc',
      change: 'starting',
      session: session({ state: 'starting', revision: 4 })
    });
    expect(model.get('abc')?.state).toBe('running');
  });

  it('tell of a change once, whether or not an answer brought it before', async () => {
    server.sessions = [session()];
    await begin();
    await model.stop('abc');
    expect(model.get('abc')?.state).toBe('stopping');
    expect(happened).toEqual([]);
    const event = {
      id: 'abc',
      change: 'stopping',
      session: server.sessions[0]
    } as const;
    server.events.tell(event);
    server.events.tell(event);
    expect(happened.map(each => each.change)).toEqual(['stopping']);
  });

  it('of something else than a change of the session leave it as the same object', async () => {
    server.sessions = [session()];
    await begin();
    const before = model.get('abc');
    server.events.tell({ id: 'abc', change: 'updated', session: session() });
    expect(model.get('abc')).toBe(before);
  });
});

describe('clocks', () => {
  it('tick only while something counts', async () => {
    server.sessions = [
      session({ state: 'stopped', ended: '2026-01-01T13:00:00+00:00' })
    ];
    await begin();
    let ticks = 0;
    model.ticked.connect(() => {
      ticks++;
    });
    await vi.advanceTimersByTimeAsync(10 * SECOND);
    expect(ticks).toBe(0);
    server.sessions.push(session({ id: 'x' }));
    server.events.tell({ id: 'x', change: 'running', session: session({ id: 'x' }) });
    await vi.advanceTimersByTimeAsync(10 * SECOND);
    expect(ticks).toBeGreaterThan(5);
  });

  it('go by the server if it differs from ours', async () => {
    server.time = Date.now() - 3600 * SECOND;
    await begin();
    expect(Date.now() - model.now).toBeGreaterThan(3590 * SECOND);
    server.time = Date.now() + SECOND;
    await model.refresh();
    expect(model.now).toBe(Date.now());
  });
});

describe('usage', () => {
  it('is asked for only while somebody watches and something runs', async () => {
    server.sessions = [session()];
    server.theUsage = { abc: { cpu: 0.5, memory: 1, processes: 2, samples: [] } };
    await begin();
    await vi.advanceTimersByTimeAsync(60 * SECOND);
    expect(asked('usage')).toBe(0);
    const watching = model.watchUsage();
    await vi.advanceTimersByTimeAsync(0);
    expect(model.usage['abc']?.cpu).toBe(0.5);
    await vi.advanceTimersByTimeAsync(30 * SECOND);
    const before = asked('usage');
    expect(before).toBeGreaterThan(2);
    watching.dispose();
    await vi.advanceTimersByTimeAsync(60 * SECOND);
    expect(asked('usage')).toBe(before);
  });
});

describe('usage of what has just begun', () => {
  it('is asked for sooner, until it is there', async () => {
    const now = new Date().toISOString();
    server.sessions = [session({ started: now, ready: now })];
    await begin();
    model.watchUsage();
    await vi.advanceTimersByTimeAsync(5 * SECOND);
    expect(asked('usage')).toBeGreaterThan(2);
    server.theUsage = { abc: { cpu: 0, memory: 1, processes: 1, samples: [] } };
    await vi.advanceTimersByTimeAsync(2 * SECOND);
    const before = asked('usage');
    await vi.advanceTimersByTimeAsync(8 * SECOND);
    expect(asked('usage')).toBe(before);
  });
});

it('asks nobody once it is disposed of', async () => {
  server.sessions = [session()];
  await begin();
  model.watchUsage();
  model.dispose();
  const before = server.asked.length;
  await vi.advanceTimersByTimeAsync(600 * SECOND);
  expect(server.asked.length).toBe(before);
  expect(server.events.isDisposed).toBe(true);
});
