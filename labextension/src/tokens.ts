/** What the parts of the front end agree upon. Nothing here has any behaviour of its own. */

import { Token } from '@lumino/coreutils';
import type { JSONObject } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

export type SessionState =
  | 'created'
  | 'queued'
  | 'starting'
  | 'running'
  | 'suspended'
  | 'stopping'
  | 'stopped'
  | 'failed';

export type SessionAction =
  'open' | 'logs' | 'stop' | 'restart' | 'extend' | 'rename' | 'delete';

/** A further place that an app offers to open; `url` is a path, as that of the session. */
export interface ILink {
  readonly title: string;
  readonly url: string;
}

/** A session as the REST API answers it; `openapi.yaml` documents the fields. Times: ISO 8601, UTC. */
export interface ISession {
  readonly id: string;
  readonly name: string;
  readonly app: string;
  /** The app's title. */
  readonly title: string;
  readonly spawner: string;
  /** What people call it. */
  readonly spawner_title: string;
  readonly options: JSONObject;
  readonly cwd: string;
  readonly state: SessionState;
  readonly target: 'running' | 'suspended' | 'stopped';
  readonly attempt: number;
  /** A sentence for people. */
  readonly message: string;
  /** A word for programs. */
  readonly reason: string;
  /** The path at which it opens. */
  readonly url: string;
  /** What else can be opened while it runs. */
  readonly links: readonly ILink[];
  readonly host: string;
  readonly created: string;
  readonly started: string | null;
  readonly ready: string | null;
  readonly ended: string | null;
  /** Seconds that it may run. */
  readonly timeout: number | null;
  readonly expires: string | null;
  readonly last_activity: string | null;
  readonly unreachable_since: string | null;
  readonly exit_code: number | null;
  readonly resources: JSONObject;
  /** What may be done now. */
  readonly actions: readonly SessionAction[];
  /** How often its record was written: of two, the one with the higher number is the newer. */
  readonly revision: number;
}

/** What can be started. */
export interface IApp {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly category: string;
  /** The JSON Schema of its options. */
  readonly options: JSONObject;
  readonly available: boolean;
  /** What to install, if it is not available. */
  readonly unavailable_reason: string;
  /** What people should know before they start it. */
  readonly notice: string;
  readonly origin: string;
  /** Whether it has an icon, at `apps/{name}/icon`. */
  readonly icon: boolean;
  /** Whether something is written about it, at `apps/{name}/readme`. */
  readonly readme: boolean;
  /** Whether it wants to be in the launcher. */
  readonly launcher: boolean;
  /** Where it likes to be opened. */
  readonly open_in: 'lab' | 'browser';
  /** Of an app called `project:<name>`: the project that it comes from. */
  readonly project: {
    readonly folder: string;
    readonly state: TrustState;
    readonly digest: string;
  } | null;
}

/** Whether a project's app may run; `changed`: it might, with another content. */
export type TrustState = 'new' | 'trusted' | 'changed';

/** What people have to see to trust a project's app, at `GET apps/{name}/trust`. */
export interface ITrust {
  readonly name: string;
  readonly title: string;
  /** The project's folder. */
  readonly project: string;
  readonly state: TrustState;
  /** Sent back by those who trust it. */
  readonly digest: string;
  /** The app of this machine that it is made of; empty if none. */
  readonly extends: string;
  /** Empty: that of the app that it extends. */
  readonly command: readonly string[];
  readonly files: readonly {
    readonly path: string;
    /** Bytes. */
    readonly size: number;
    readonly executable: boolean;
    /** null: it is none, or too long. */
    readonly text: string | null;
  }[];
}

/** Where it can run. */
export interface ISpawner {
  readonly name: string;
  readonly title: string;
  readonly host: string;
  /** Whether it sees the server's files. If not, folders are those of its host. */
  readonly same_files: boolean;
  /** The JSON Schema of the resources that may be asked for. */
  readonly options: JSONObject;
  readonly available: boolean;
  readonly unavailable_reason: string;
}

/** What people may choose before a start: also what a preset holds. */
export interface IChoices {
  spawner?: string;
  options?: JSONObject;
  resources?: JSONObject;
  timeout?: number | null;
}

/** What `POST sessions` takes. */
export interface IStartRequest extends IChoices {
  app: string;
  name?: string;
  /** A folder, relative to the server's root folder or absolute. */
  cwd?: string;
  /** What to open, for apps with an option that has `x-default-from: file`. */
  file?: string;
}

export type Layer = 'app' | 'project' | 'remembered';

/** All that the launch dialog needs, at `GET apps/{name}/form`. */
export interface IForm {
  readonly app: IApp;
  readonly spawners: readonly ISpawner[];
  /** The values to begin with, the layers laid over each other. */
  readonly values: {
    readonly spawner: string;
    readonly cwd: string;
    readonly timeout: number | null;
    readonly options: JSONObject;
    /** By spawner. */
    readonly resources: { readonly [spawner: string]: JSONObject };
  };
  /** What counts if nobody, and no project, says otherwise. */
  readonly usual: { readonly spawner: string; readonly timeout: number | null };
  /** Which layer a value comes from, by field: `options.folder`, `resources.priority`, `timeout`, `spawner`. */
  readonly sources: { readonly [field: string]: Layer };
  /** The project's file of defaults, if there is one and it says anything about this app. */
  readonly project: { readonly origin: string; readonly problem: string } | null;
  readonly presets: { readonly [name: string]: IChoices };
  readonly limits: { readonly max_timeout: number | null };
  /** Fields whose choices could not be found out, and why. */
  readonly unknown: readonly { readonly field: string; readonly message: string }[];
  /** Why what was remembered, and the presets, cannot be read; empty if they can. */
  readonly problem?: string;
}

/** What the processes of a session use. */
export interface IUsage {
  /** Processors busy: 1.5 is one and a half. */
  readonly cpu: number;
  /** Bytes. */
  readonly memory: number;
  readonly processes: number;
  /** Oldest first: epoch seconds, processors, bytes. */
  readonly samples: readonly (readonly [number, number, number])[];
}

export type UsageById = { readonly [id: string]: IUsage };

export interface ISessionList {
  readonly sessions: readonly ISession[];
  readonly unreadable: readonly { readonly id: string; readonly message: string }[];
  /** The server's clock when it answered, in epoch milliseconds, if it said so. */
  readonly time?: number;
}

/** What happened to a session, as the server tells it. */
export interface ISessionEvent {
  readonly id: string;
  readonly change: SessionState | 'restarted' | 'expiring' | 'updated' | 'deleted';
  /** Absent if it was deleted. */
  readonly session?: ISession;
}

/** The way to the server. `api.ts` is the real one; tests have their own. */
export interface ITransport {
  /** All apps; with `cwd`, those of the project of this folder too. */
  apps(cwd?: string): Promise<readonly IApp[]>;
  /** The icon as a `data:` URL. */
  icon(app: string, cwd?: string): Promise<string>;
  /** What is written about it, as Markdown of whoever has brought it. */
  readme(app: string, cwd?: string): Promise<string>;
  trustOf(app: string, cwd?: string): Promise<ITrust>;
  /** Let a project's app run, as it was when its digest was seen. */
  trust(app: string, digest: string, cwd?: string): Promise<void>;
  spawners(): Promise<readonly ISpawner[]>;
  /** @param spawner the one to find choices for; as the form begins if not given */
  form(app: string, cwd?: string, spawner?: string): Promise<IForm>;
  list(): Promise<ISessionList>;
  get(id: string): Promise<ISession>;
  usage(): Promise<UsageById>;
  start(request: IStartRequest): Promise<ISession>;
  stop(id: string): Promise<ISession>;
  restart(id: string): Promise<ISession>;
  /** `seconds` more. */
  extend(id: string, seconds: number): Promise<ISession>;
  rename(id: string, name: string): Promise<ISession>;
  /** Stop it if need be, and forget it with its files. */
  forget(id: string): Promise<void>;
  remember(app: string, choices: IChoices, cwd?: string): Promise<void>;
  savePreset(app: string, name: string, choices: IChoices, cwd?: string): Promise<void>;
  deletePreset(app: string, name: string, cwd?: string): Promise<void>;
  /**
   * A session's log as it comes, until its attempt ends or `signal` says so.
   *
   * @param lines how many of those that are there already
   */
  log(
    id: string,
    options: { lines: number; follow: boolean; signal?: AbortSignal }
  ): AsyncIterable<string>;
  /** Where a browser finds `session`, complete with the origin. */
  publicUrl(session: ISession): string;
  readonly events: ISessionEvents;
}

/** Changes as the server tells them. */
export interface ISessionEvents extends IDisposable {
  readonly happened: ISignal<ISessionEvents, ISessionEvent>;
  /** Whether changes are told at the moment. Each `true` may follow a gap. */
  readonly connected: boolean;
  readonly connectedChanged: ISignal<ISessionEvents, boolean>;
}

/** A request was refused, or did not get through. */
export interface IRequestProblem extends Error {
  /** 0: there was no answer. */
  readonly status: number;
  /** A word for programs. */
  readonly reason: string;
  readonly errors: readonly { readonly field: string; readonly message: string }[];
}

/**
 * How well the list is known: `loading` for the first time; `live`: the server tells every change;
 * `polling`: it is asked from time to time; `offline`: it does not answer.
 */
export type Connection = 'loading' | 'live' | 'polling' | 'offline';

/** One change of one session. */
export interface IChange {
  readonly change: ISessionEvent['change'];
  readonly session: ISession;
  /** What was known before, if anything was. */
  readonly before: ISession | undefined;
  /** Whether the server told of it as it happened; false if it was found in a list afterwards. */
  readonly live: boolean;
}

/** All that the front end knows. No part of it looks anything up by itself. */
export interface ISessionsModel extends IDisposable {
  /** Newest first. */
  readonly sessions: readonly ISession[];
  readonly unreadable: ISessionList['unreadable'];
  readonly apps: readonly IApp[];
  readonly connection: Connection;
  /** Why the server could not be asked, for people; empty if it could. */
  readonly problem: string;
  /** The HTTP status of that problem; 0 if there was no answer, or no problem. */
  readonly problemStatus: number;
  /** By id; of those that run while somebody watches (`watchUsage`). */
  readonly usage: UsageById;
  /** Epoch milliseconds, by the server's clock as far as it is known. */
  readonly now: number;

  /** The sessions, the connection or the problem are other than before. */
  readonly changed: ISignal<ISessionsModel, void>;
  readonly appsChanged: ISignal<ISessionsModel, void>;
  readonly usageChanged: ISignal<ISessionsModel, void>;
  /** Once per change of a session, in order. */
  readonly happened: ISignal<ISessionsModel, IChange>;
  /** Once a second while the page is seen and anything counts: for "3 min left". */
  readonly ticked: ISignal<ISessionsModel, void>;
  /** The first answer has come. */
  readonly ready: Promise<void>;

  get(id: string): ISession | undefined;
  app(name: string): IApp | undefined;
  /**
   * The folder that people look at, relative to the server's root: the apps of its project are
   * among `apps`. undefined: nobody looks at any.
   */
  folder: string | undefined;
  /** Ask for everything again, apps included. */
  refresh(): Promise<void>;
  /** Keep `usage` fresh until what is returned is disposed of. */
  watchUsage(): IDisposable;

  readonly transport: ITransport;
  start(request: IStartRequest): Promise<ISession>;
  /** Let a project's app run. */
  trust(app: string, digest: string, cwd?: string): Promise<void>;
  stop(id: string): Promise<void>;
  restart(id: string): Promise<void>;
  extend(id: string, seconds: number): Promise<void>;
  rename(id: string, name: string): Promise<void>;
  forget(id: string): Promise<void>;
}

export const ISessionsModel = new Token<ISessionsModel>(
  'jupyter-sessions:ISessionsModel',
  'The sessions of this Jupyter server: lists them, tells of changes, starts and stops them.'
);
