/** The way to the server: the only module that sends requests. */

import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { SessionEvents } from './events';
import type {
  IApp,
  IChoices,
  IForm,
  IRequestProblem,
  ISession,
  ISessionEvents,
  ISessionList,
  ISpawner,
  IStartRequest,
  ITransport,
  ITrust,
  UsageById
} from './tokens';

/** Below the server's base URL; `jupyter_sessions/api.py` has the other end. */
const NAMESPACE = 'jupyter-sessions/v1';

/** A request was refused, or did not get through. The message is for people. */
export class RequestProblem extends Error implements IRequestProblem {
  constructor(
    message: string,
    readonly status: number,
    readonly reason = '',
    readonly errors: IRequestProblem['errors'] = []
  ) {
    super(message);
    this.name = 'RequestProblem';
  }
}

/** The REST API of this Jupyter server. */
export class Transport implements ITransport {
  /**
   * @param settings those of Lab's service manager
   */
  constructor(private readonly settings: ServerConnection.ISettings) {
    this.events = new SessionEvents(settings);
  }

  readonly events: ISessionEvents;

  apps(cwd?: string): Promise<readonly IApp[]> {
    return this._json('GET', ['apps'], at(cwd));
  }

  async icon(app: string, cwd?: string): Promise<string> {
    const response = await this._request('GET', ['apps', app, 'icon'], at(cwd));
    const type = (response.headers.get('Content-Type') ?? '').split(';')[0] ?? '';
    const bytes = new Uint8Array(await response.arrayBuffer());
    const data = Array.from(bytes, byte => String.fromCharCode(byte)).join('');
    return `data:${/^image\/[\w.+-]+$/.test(type) ? type : 'image/svg+xml'};base64,${btoa(data)}`;
  }

  spawners(): Promise<readonly ISpawner[]> {
    return this._json('GET', ['spawners']);
  }

  form(app: string, cwd?: string, spawner?: string): Promise<IForm> {
    return this._json('GET', ['apps', app, 'form'], {
      query: { ...at(cwd).query, ...(spawner === undefined ? {} : { spawner }) }
    });
  }

  async readme(app: string, cwd?: string): Promise<string> {
    const response = await this._request('GET', ['apps', app, 'readme'], at(cwd));
    return response.text();
  }

  trustOf(app: string, cwd?: string): Promise<ITrust> {
    return this._json('GET', ['apps', app, 'trust'], at(cwd));
  }

  async trust(app: string, digest: string, cwd?: string): Promise<void> {
    await this._request('POST', ['apps', app, 'trust'], {
      ...at(cwd),
      body: { digest }
    });
  }

  async list(): Promise<ISessionList> {
    const response = await this._request('GET', ['sessions']);
    const time = Date.parse(response.headers.get('Date') ?? '');
    const list = (await parsed(response)) as ISessionList;
    return Number.isNaN(time) ? list : { ...list, time };
  }

  get(id: string): Promise<ISession> {
    return this._json('GET', ['sessions', id]);
  }

  async usage(): Promise<UsageById> {
    const answer = await this._json<{ usage: UsageById }>('GET', ['usage']);
    return answer.usage;
  }

  start(request: IStartRequest): Promise<ISession> {
    return this._json('POST', ['sessions'], { body: request });
  }

  stop(id: string): Promise<ISession> {
    return this._json('POST', ['sessions', id, 'stop']);
  }

  restart(id: string): Promise<ISession> {
    return this._json('POST', ['sessions', id, 'restart']);
  }

  extend(id: string, seconds: number): Promise<ISession> {
    return this._json('POST', ['sessions', id, 'extend'], { body: { seconds } });
  }

  rename(id: string, name: string): Promise<ISession> {
    return this._json('PATCH', ['sessions', id], { body: { name } });
  }

  async forget(id: string): Promise<void> {
    await this._request('DELETE', ['sessions', id]);
  }

  async remember(app: string, choices: IChoices, cwd?: string): Promise<void> {
    const more = { ...at(cwd), body: choices };
    await this._request('PUT', ['apps', app, 'remembered'], more);
  }

  async savePreset(
    app: string,
    name: string,
    choices: IChoices,
    cwd?: string
  ): Promise<void> {
    const more = { ...at(cwd), body: choices };
    await this._request('PUT', ['apps', app, 'presets', name], more);
  }

  async deletePreset(app: string, name: string, cwd?: string): Promise<void> {
    await this._request('DELETE', ['apps', app, 'presets', name], at(cwd));
  }

  async *log(
    id: string,
    options: { lines: number; follow: boolean; signal?: AbortSignal }
  ): AsyncIterable<string> {
    const response = await this._request('GET', ['sessions', id, 'log'], {
      query: { lines: String(options.lines), follow: options.follow ? '1' : '0' },
      signal: options.signal
    });
    const reader = response.body?.getReader();
    if (!reader) {
      yield await response.text();
      return;
    }
    const decoder = new TextDecoder();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        const text = decoder.decode(value, { stream: !done });
        if (text) {
          yield text;
        }
        if (done) {
          return;
        }
      }
    } catch (error) {
      if (!options.signal?.aborted) {
        throw new RequestProblem(String(error), 0, 'no_answer');
      }
    } finally {
      reader.cancel().catch(() => undefined); // it may be broken already
    }
  }

  publicUrl(session: ISession): string {
    // Behind a hub that serves users at domains of their own, and in all other cases, the page's
    // own origin is where the browser's login is good for.
    const base = PageConfig.getOption('shareUrl') || window.location.origin;
    return new URL(session.url, base).href;
  }

  private async _json<T>(method: string, path: string[], more: IMore = {}): Promise<T> {
    return (await parsed(await this._request(method, path, more))) as T;
  }

  /** An answer that is no error. */
  private async _request(
    method: string,
    path: string[],
    { query = {}, body, signal }: IMore = {}
  ): Promise<Response> {
    const url =
      URLExt.join(
        this.settings.baseUrl,
        NAMESPACE,
        ...path.map(part => encodeURIComponent(part))
      ) + URLExt.objectToQueryString(query);
    const init: RequestInit = { method, signal: signal ?? null };
    if (method !== 'GET' && method !== 'DELETE') {
      init.body = JSON.stringify(body ?? {});
    }
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this.settings);
    } catch (error) {
      if (signal?.aborted) {
        throw error;
      }
      throw new RequestProblem(
        error instanceof Error ? error.message : String(error),
        0,
        'no_answer'
      );
    }
    if (!response.ok) {
      throw await refusal(response);
    }
    return response;
  }
}

/** The folder whose project is meant. */
function at(cwd: string | undefined): IMore {
  return cwd === undefined ? {} : { query: { cwd } };
}

interface IMore {
  query?: { [name: string]: string };
  body?: unknown;
  signal?: AbortSignal;
}

async function parsed(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    // A login page, or what stands between us and the server.
    throw new RequestProblem(`HTTP ${response.status}`, response.status, 'not_json');
  }
}

async function refusal(response: Response): Promise<RequestProblem> {
  let described: Partial<RequestProblem> = {};
  try {
    described = (await response.json()) as Partial<RequestProblem>;
  } catch {
    // What stands between us and the server has no JSON for us.
  }
  return new RequestProblem(
    described.message || `HTTP ${response.status} ${response.statusText}`,
    response.status,
    described.reason ?? '',
    Array.isArray(described.errors) ? described.errors : []
  );
}
