/** A server that the tests hold in their hand: the other side of `ITransport`. */

import { Signal } from '@lumino/signaling';
import type {
  IApp,
  IForm,
  ISession,
  ISessionEvent,
  ISessionEvents,
  ISessionList,
  ISpawner,
  IStartRequest,
  ITransport,
  ITrust,
  UsageById
} from '../../labextension/src/tokens';

/** A session that runs, but for `changes`. */
export function session(changes: Partial<ISession> = {}): ISession {
  return {
    id: 'abc',
    name: 'Mine',
    app: 'files',
    title: 'Files',
    spawner: 'local',
    spawner_title: 'This machine',
    options: {},
    cwd: '/home/ada',
    state: 'running',
    target: 'running',
    attempt: 1,
    message: '',
    reason: '',
    url: '/sessions/abc/',
    links: [],
    host: 'box',
    created: '2026-01-01T12:00:00+00:00',
    started: '2026-01-01T12:00:01+00:00',
    ready: '2026-01-01T12:00:02+00:00',
    ended: null,
    timeout: null,
    expires: null,
    last_activity: null,
    unreachable_since: null,
    exit_code: null,
    resources: {},
    actions: ['open', 'logs', 'restart', 'stop', 'rename', 'delete'],
    revision: 1,
    ...changes
  };
}

export function app(changes: Partial<IApp> = {}): IApp {
  return {
    name: 'files',
    title: 'Files',
    description: 'A folder as web pages.',
    category: 'Tools',
    options: { type: 'object', properties: {} },
    available: true,
    unavailable_reason: '',
    notice: '',
    origin: 'here',
    icon: false,
    readme: false,
    launcher: true,
    open_in: 'lab',
    project: null,
    ...changes
  };
}

export function spawner(changes: Partial<ISpawner> = {}): ISpawner {
  return {
    name: 'local',
    title: 'This machine',
    host: 'box',
    same_files: true,
    options: { type: 'object', properties: {} },
    available: true,
    unavailable_reason: '',
    ...changes
  };
}

export function form(changes: Partial<IForm> = {}): IForm {
  return {
    app: app(),
    spawners: [spawner()],
    values: {
      spawner: 'local',
      cwd: '/home/ada',
      timeout: null,
      options: {},
      resources: { local: {} }
    },
    usual: { spawner: 'local', timeout: null },
    sources: {},
    project: null,
    presets: {},
    limits: { max_timeout: null },
    unknown: [],
    ...changes
  };
}

export class FakeEvents implements ISessionEvents {
  readonly happened = new Signal<this, ISessionEvent>(this);
  readonly connectedChanged = new Signal<this, boolean>(this);
  connected = false;
  isDisposed = false;

  tell(event: ISessionEvent): void {
    this.happened.emit(event);
  }

  connect(connected = true): void {
    this.connected = connected;
    this.connectedChanged.emit(connected);
  }

  dispose(): void {
    this.isDisposed = true;
    Signal.clearData(this);
  }
}

/** Holds sessions, and counts what it is asked. `fail` makes every request fail with it. */
export class FakeTransport implements ITransport {
  readonly events = new FakeEvents();
  readonly asked: string[] = [];
  sessions: ISession[] = [];
  offered: IApp[] = [app()];
  theForm: IForm = form();
  theUsage: UsageById = {};
  theTrust: ITrust = {
    name: 'project:dash',
    title: 'Dash',
    project: '/home/ada/work',
    state: 'new',
    digest: 'd1',
    extends: '',
    command: ['run', 'it'],
    files: [{ path: 'app.yaml', size: 20, executable: false, text: 'name: dash' }]
  };
  unreadable: ISessionList['unreadable'] = [];
  /** Of the server's clock. */
  time: number | undefined;
  fail: Error | null = null;
  started: IStartRequest[] = [];
  /** Pieces that `log` yields before it ends. */
  lines: string[] = [];
  /** Awaited before each answer. */
  gate: Promise<void> = Promise.resolve();

  private async _answer<T>(what: string, answer: () => T): Promise<T> {
    this.asked.push(what);
    await this.gate;
    if (this.fail) {
      throw this.fail;
    }
    return answer();
  }

  apps(cwd?: string): Promise<readonly IApp[]> {
    const where = cwd === undefined ? '' : ` of ${cwd}`;
    return this._answer(`apps${where}`, () => this.offered);
  }
  readme(name: string): Promise<string> {
    return this._answer(`readme of ${name}`, () => '# About');
  }
  trustOf(name: string): Promise<ITrust> {
    return this._answer(`trust of ${name}`, () => this.theTrust);
  }
  trust(name: string, digest: string): Promise<void> {
    return this._answer(`trust ${name} ${digest}`, () => undefined);
  }
  icon(name: string): Promise<string> {
    return this._answer(`icon ${name}`, () => 'data:image/svg+xml;base64,PHN2Zy8+');
  }
  spawners(): Promise<readonly ISpawner[]> {
    return this._answer('spawners', () => this.theForm.spawners);
  }
  form(name: string): Promise<IForm> {
    return this._answer(`form ${name}`, () => this.theForm);
  }
  list(): Promise<ISessionList> {
    const { sessions, unreadable, time } = this;
    const list = { sessions: [...sessions], unreadable };
    return this._answer('list', () => (time === undefined ? list : { ...list, time }));
  }
  get(id: string): Promise<ISession> {
    return this._answer(`get ${id}`, () => this._find(id));
  }
  usage(): Promise<UsageById> {
    return this._answer('usage', () => this.theUsage);
  }
  start(request: IStartRequest): Promise<ISession> {
    return this._answer('start', () => {
      this.started.push(request);
      const made = session({
        id: `made${this.started.length}`,
        app: request.app,
        name: request.name ?? request.app,
        state: 'created'
      });
      this.sessions.push(made);
      return made;
    });
  }
  stop(id: string): Promise<ISession> {
    return this._answer(`stop ${id}`, () =>
      this._change(id, { state: 'stopping', target: 'stopped' })
    );
  }
  restart(id: string): Promise<ISession> {
    return this._answer(`restart ${id}`, () => this._change(id, { state: 'stopping' }));
  }
  extend(id: string, seconds: number): Promise<ISession> {
    return this._answer(`extend ${id} ${seconds}`, () => this._change(id, {}));
  }
  rename(id: string, name: string): Promise<ISession> {
    return this._answer(`rename ${id}`, () => this._change(id, { name }));
  }
  forget(id: string): Promise<void> {
    return this._answer(`forget ${id}`, () => {
      this.sessions = this.sessions.filter(each => each.id !== id);
    });
  }
  remember(name: string): Promise<void> {
    return this._answer(`remember ${name}`, () => undefined);
  }
  savePreset(name: string, preset: string): Promise<void> {
    return this._answer(`savePreset ${name} ${preset}`, () => undefined);
  }
  deletePreset(name: string, preset: string): Promise<void> {
    return this._answer(`deletePreset ${name} ${preset}`, () => undefined);
  }
  async *log(
    id: string,
    _options?: Parameters<ITransport['log']>[1]
  ): AsyncIterable<string> {
    this.asked.push(`log ${id}`);
    for (const line of this.lines) {
      await this.gate;
      yield line;
    }
  }
  publicUrl(which: ISession): string {
    return `http://localhost${which.url}`;
  }

  private _find(id: string): ISession {
    const found = this.sessions.find(each => each.id === id);
    if (!found) {
      throw new Error(`no session ${id}`);
    }
    return found;
  }

  private _change(id: string, changes: Partial<ISession>): ISession {
    const before = this._find(id);
    const after = { ...before, ...changes, revision: before.revision + 1 };
    this.sessions = this.sessions.map(each => (each.id === id ? after : each));
    return after;
  }
}
