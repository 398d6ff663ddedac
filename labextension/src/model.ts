/** What the front end knows of the server's sessions. No React, no DOM, no requests of its own. */

import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { Signal, type ISignal } from '@lumino/signaling';
import { changesBetween } from './changes';
import type {
  Connection,
  IApp,
  IChange,
  IRequestProblem,
  ISession,
  ISessionEvent,
  ISessionList,
  ISessionsModel,
  IStartRequest,
  ITransport,
  UsageById
} from './tokens';

/** Milliseconds. */
const POLL = { interval: 4_000, max: 60_000 };
const USAGE_INTERVAL = 10_000;
/** While the first figures of a session that has just begun are awaited. */
const USAGE_HURRY = 2_000;
const JUST = 20_000;
const TICK = 1_000;
/** Clocks that differ by less than this differ by nothing: a Date header is a second wide. */
const SKEW = 5_000;

const COUNTING = new Set(['created', 'queued', 'starting', 'running', 'stopping']);

/** Told of every change by the server's events; asks from time to time while it is told nothing. */
export class SessionsModel implements ISessionsModel {
  constructor(readonly transport: ITransport) {
    this._poll = new Poll({
      auto: false,
      factory: () => this._list(),
      frequency: { interval: POLL.interval, backoff: true, max: POLL.max },
      name: 'jupyter-sessions:list',
      standby: 'when-hidden'
    });
    this._usagePoll = new Poll({
      auto: false,
      factory: () => this._askUsage(),
      frequency: { interval: USAGE_INTERVAL, backoff: true, max: 6 * USAGE_INTERVAL },
      name: 'jupyter-sessions:usage',
      standby: 'when-hidden'
    });
    this._ticks = new Poll({
      auto: false,
      factory: () => Promise.resolve(this._ticked.emit()),
      frequency: { interval: TICK, backoff: false, max: TICK },
      name: 'jupyter-sessions:clock',
      standby: 'when-hidden'
    });
    transport.events.happened.connect(this._onEvent, this);
    transport.events.connectedChanged.connect(this._onConnected, this);
    this.ready = this.refresh();
  }

  readonly ready: Promise<void>;

  get sessions(): readonly ISession[] {
    return this._sorted;
  }

  get unreadable(): ISessionList['unreadable'] {
    return this._unreadable;
  }

  get apps(): readonly IApp[] {
    return this._apps;
  }

  get connection(): Connection {
    return this._connection;
  }

  get problem(): string {
    return this._problem;
  }

  get problemStatus(): number {
    return this._problemStatus;
  }

  get usage(): UsageById {
    return this._usage;
  }

  get now(): number {
    return Date.now() + this._skew;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }
  get appsChanged(): ISignal<this, void> {
    return this._appsChanged;
  }
  get usageChanged(): ISignal<this, void> {
    return this._usageChanged;
  }
  get happened(): ISignal<this, IChange> {
    return this._happened;
  }
  get ticked(): ISignal<this, void> {
    return this._ticked;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._poll.dispose();
      this._usagePoll.dispose();
      this._ticks.dispose();
      this.transport.events.dispose();
      Signal.clearData(this);
    }
  }

  get folder(): string | undefined {
    return this._folder;
  }
  set folder(folder: string | undefined) {
    if (folder !== this._folder) {
      this._folder = folder;
      void this._askApps();
    }
  }

  get(id: string): ISession | undefined {
    return this._sessions.get(id);
  }

  app(name: string): IApp | undefined {
    return this._apps.find(app => app.name === name);
  }

  async refresh(): Promise<void> {
    await Promise.all([
      this._list().catch(() => this._poll.start()), // which goes on asking
      this._askApps()
    ]);
  }

  watchUsage(): IDisposable {
    this._watchers++;
    this._pace();
    return new DisposableDelegate(() => {
      this._watchers--;
      this._pace();
    });
  }

  async start(request: IStartRequest): Promise<ISession> {
    const session = await this.transport.start(request);
    this._learn({ id: session.id, change: 'created', session }, false);
    return session;
  }

  async trust(app: string, digest: string, cwd?: string): Promise<void> {
    await this.transport.trust(app, digest, cwd);
    await this._askApps();
  }

  async stop(id: string): Promise<void> {
    this._answered(await this.transport.stop(id));
  }

  async restart(id: string): Promise<void> {
    this._answered(await this.transport.restart(id));
  }

  async extend(id: string, seconds: number): Promise<void> {
    this._answered(await this.transport.extend(id, seconds));
  }

  async rename(id: string, name: string): Promise<void> {
    this._answered(await this.transport.rename(id, name));
  }

  async forget(id: string): Promise<void> {
    await this.transport.forget(id);
    const session = this.get(id);
    if (session && (session.state === 'stopped' || session.state === 'failed')) {
      this._learn({ id, change: 'deleted' }, false);
    }
    // Otherwise it goes as soon as its app has ended, and the server tells.
    this._drop('unreadable', id);
  }

  private _drop(_: 'unreadable', id: string): void {
    const kept = this._unreadable.filter(entry => entry.id !== id);
    if (kept.length !== this._unreadable.length) {
      this._unreadable = kept;
      this._changed.emit();
    }
  }

  private _answered(session: ISession): void {
    this._learn({ id: session.id, change: 'updated', session }, false);
  }

  private _onEvent(_: unknown, event: ISessionEvent): void {
    this._learn(event, true);
  }

  private _onConnected(_: unknown, connected: boolean): void {
    if (!connected) {
      this._setConnection(this._connection === 'loading' ? 'loading' : 'polling', '');
      void this._poll.start();
      return;
    }
    // What happened meanwhile is not told again.
    void this.refresh();
  }

  /** Take in one change; what is older than what is known replaces nothing. */
  private _learn(event: ISessionEvent, live: boolean): void {
    const before = this._sessions.get(event.id);
    const { change, session } = event;
    if (!session) {
      if (before && change === 'deleted') {
        this._sessions.delete(event.id);
        this._sort();
        this._happened.emit({ change, session: before, before, live });
      }
      return;
    }
    if (!before || before.revision < session.revision) {
      this._sessions.set(session.id, session);
      this._sort();
    }
    // What an answer brought is news to nobody: who asked for it has it. The event still comes.
    if (live && session.revision > (this._told.get(session.id) ?? -1)) {
      this._told.set(session.id, session.revision);
      this._happened.emit({ change, session, before, live });
    }
  }

  private async _list(): Promise<void> {
    const asked = new Map(this._sessions);
    let list: ISessionList;
    try {
      list = await this.transport.list();
    } catch (error) {
      const problem = error as IRequestProblem;
      this._problemStatus = problem.status;
      this._setConnection(
        problem.status === 0 ? 'offline' : 'polling',
        problem.message
      );
      throw error;
    }
    if (this._isDisposed) {
      return;
    }
    if (list.time !== undefined) {
      const skew = list.time - Date.now();
      this._skew = Math.abs(skew) < SKEW ? 0 : skew;
    }
    const first = this._connection === 'loading';
    const changes = changesBetween(this._sessions, list.sessions, asked);
    for (const { session, change } of changes) {
      if (change === 'deleted') {
        this._sessions.delete(session.id);
      } else {
        this._sessions.set(session.id, session);
        this._told.set(session.id, session.revision);
      }
    }
    this._unreadable = list.unreadable;
    const connected = this.transport.events.connected;
    this._problemStatus = 0;
    this._sort(false);
    this._setConnection(connected ? 'live' : 'polling', '', true);
    if (connected) {
      void this._poll.stop();
    } else if (
      this._poll.state.phase === 'stopped' ||
      this._poll.state.phase === 'constructed'
    ) {
      void this._poll.start();
    }
    if (!first) {
      changes.forEach(change => this._happened.emit({ ...change, live: false }));
    }
  }

  private async _askApps(): Promise<void> {
    try {
      const folder = this._folder;
      const apps = await this.transport.apps(folder);
      if (folder !== this._folder) {
        return; // people have gone on, and it was asked again
      }
      this._apps = apps;
    } catch {
      return; // what was known before is better than nothing, and the list says what is wrong
    }
    this._appsChanged.emit();
  }

  private async _askUsage(): Promise<void> {
    this._usage = await this.transport.usage();
    const awaited = this._sorted.some(
      ({ id, state, ready }) =>
        state === 'running' &&
        !(id in this._usage) &&
        this.now - Date.parse(ready ?? '') < JUST
    );
    const interval = awaited ? USAGE_HURRY : USAGE_INTERVAL;
    if (this._usagePoll.frequency.interval !== interval) {
      this._usagePoll.frequency = { interval, backoff: true, max: 6 * USAGE_INTERVAL };
    }
    this._usageChanged.emit();
  }

  private _setConnection(
    connection: Connection,
    problem: string,
    always = false
  ): void {
    const same = connection === this._connection && problem === this._problem;
    this._connection = connection;
    this._problem = problem;
    if (!same || always) {
      this._changed.emit();
    }
  }

  private _sort(tell = true): void {
    this._sorted = [...this._sessions.values()].sort(
      (a, b) => b.created.localeCompare(a.created) || a.id.localeCompare(b.id)
    );
    this._pace();
    if (tell) {
      this._changed.emit();
    }
  }

  /** Run the clocks that somebody looks at, and no others. */
  private _pace(): void {
    if (this._isDisposed) {
      return;
    }
    run(
      this._ticks,
      this._sorted.some(session => COUNTING.has(session.state))
    );
    run(
      this._usagePoll,
      this._watchers > 0 && this._sorted.some(session => session.state === 'running')
    );
  }

  private _apps: readonly IApp[] = [];
  private _folder: string | undefined;
  private readonly _sessions = new Map<string, ISession>();
  /** Of each session, the revision of its last event. */
  private readonly _told = new Map<string, number>();
  private _sorted: readonly ISession[] = [];
  private _unreadable: ISessionList['unreadable'] = [];
  private _usage: UsageById = {};
  private _connection: Connection = 'loading';
  private _problem = '';
  private _problemStatus = 0;
  private _skew = 0;
  private _watchers = 0;
  private _isDisposed = false;
  private readonly _poll: Poll;
  private readonly _usagePoll: Poll;
  private readonly _ticks: Poll;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _appsChanged = new Signal<this, void>(this);
  private readonly _usageChanged = new Signal<this, void>(this);
  private readonly _happened = new Signal<this, IChange>(this);
  private readonly _ticked = new Signal<this, void>(this);
}

/** Start or stop `poll`, if it is not so already. */
function run(poll: Poll, wanted: boolean): void {
  const idle = poll.state.phase === 'stopped' || poll.state.phase === 'constructed';
  if (wanted && idle) {
    void poll.start();
  } else if (!wanted && !idle) {
    void poll.stop();
  }
}
