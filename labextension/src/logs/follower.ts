/** Reads a session's log as long as somebody looks: through restarts and broken connections. */

import type { IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';
import { hasEnded } from '../format';
import { isGone } from '../tab/scene';
import type { IRequestProblem, ISession, ISessionsModel } from '../tokens';

/** Where the log goes. */
export interface ILogSink {
  /** What follows is of another attempt. */
  begin(session: ISession): void;
  /** What follows is the log of the same attempt once more, from its beginning. */
  restart(): void;
  push(text: string): void;
  /** The stream has ended properly. */
  end(): void;
}

/**
 * `paused`: nobody looks; `reading`; `broken`: the connection is gone, and is tried again;
 * `refused`: the server does not give it; `ended`: the session has, and all was read; `gone`: it
 * is forgotten.
 */
export type LogStatus = 'paused' | 'reading' | 'broken' | 'refused' | 'ended' | 'gone';

/** Milliseconds before a broken connection is tried again; each time twice as long. */
const RETRY = { first: 1_000, most: 30_000 };
/** Milliseconds after which a stream that has not ended is taken for the next attempt's. */
const GRACE = 3_000;
/** Characters handed on at once, and milliseconds after which the page may do something else. */
const SLICE = 65_536;
const BREATH = 8;

export class LogFollower implements IDisposable {
  /**
   * @param lines how many lines of what is there already are asked for
   */
  constructor(
    private readonly id: string,
    private readonly model: ISessionsModel,
    private readonly sink: ILogSink,
    private readonly lines: number
  ) {}

  get status(): LogStatus {
    return this._status;
  }

  /** Why, for people, if it is refused. */
  get problem(): string {
    return this._problem;
  }

  get statusChanged(): ISignal<this, void> {
    return this._statusChanged;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._reading?.abort();
      Signal.clearData(this);
    }
  }

  /** Read from now on. */
  resume(): void {
    if (this._reading || this._isDisposed) {
      return;
    }
    const reading = (this._reading = new AbortController());
    this._run(reading.signal).catch((error: unknown) => {
      if (!reading.signal.aborted) {
        console.error('jupyter_sessions: the log is not followed any more', error);
      }
    });
  }

  /** Let go of the connection: browsers have only a few of them for one server. */
  pause(): void {
    this._reading?.abort();
    this._reading = null;
    if (this._status === 'reading' || this._status === 'broken') {
      this._setStatus('paused');
    }
  }

  private async _run(signal: AbortSignal): Promise<void> {
    let wait = RETRY.first;
    for (;;) {
      const session = this.model.get(this.id);
      if (!session) {
        if (isGone(this.model, this.id)) {
          this._setStatus('gone');
        }
        await this._change(signal);
        continue;
      }
      if (this._isComplete && session.attempt <= this._attempt) {
        this._setStatus('ended');
        await this._change(signal);
        continue;
      }
      this._take(session);
      try {
        this._setStatus('reading');
        for await (const text of this._stream(signal)) {
          wait = RETRY.first;
          await this._push(text, signal);
        }
        signal.throwIfAborted();
        // Has it ended, or has only somebody in between hung up? The model may not know yet.
        const now = await this.model.transport.get(this.id);
        signal.throwIfAborted();
        if (hasEnded(now) || now.attempt > this._attempt) {
          this.sink.end();
          this._isComplete = true;
          continue;
        }
      } catch (error) {
        signal.throwIfAborted();
        const { status, message = '' } = error as Partial<IRequestProblem>;
        if (status === undefined) {
          throw error; // our own mistake
        }
        if (status >= 400 && status < 500) {
          this._problem = message;
          this._setStatus(status === 404 ? 'gone' : 'refused');
          await this._change(signal);
          continue;
        }
      }
      this._setStatus('broken');
      await this._pause(wait, signal);
      wait = Math.min(2 * wait, RETRY.most);
    }
  }

  /** Tell the sink what the stream that is opened now is about. */
  private _take(session: ISession): void {
    this._isComplete = false;
    if (session.attempt > this._attempt) {
      this._attempt = session.attempt;
      this.sink.begin(session);
    } else {
      this.sink.restart();
    }
  }

  /** Hand on `text`, a part at a time: the page is not to stand still for a long log. */
  private async _push(text: string, signal: AbortSignal): Promise<void> {
    for (let at = 0; at < text.length; at += SLICE) {
      signal.throwIfAborted();
      this.sink.push(text.slice(at, at + SLICE));
      if (performance.now() - this._breath > BREATH) {
        await new Promise(resolve => setTimeout(resolve));
        this._breath = performance.now();
      }
    }
  }

  /** The log of the present attempt. */
  private async *_stream(signal: AbortSignal): AsyncGenerator<string> {
    // The server may know of the next attempt before the model does: then this stream is that
    // attempt's already, and does not end when the model says that the one before has.
    let grace: number | undefined;
    const onChange = (): void => {
      const known = this.model.get(this.id)?.attempt ?? 0;
      if (known > this._attempt && grace === undefined) {
        grace = window.setTimeout(() => {
          this._attempt = known;
          grace = undefined;
        }, GRACE);
      }
    };
    this.model.changed.connect(onChange);
    try {
      yield* this.model.transport.log(this.id, {
        lines: this.lines,
        follow: true,
        signal
      });
    } finally {
      this.model.changed.disconnect(onChange);
      window.clearTimeout(grace);
    }
  }

  /** Until the model has changed. */
  private _change(signal: AbortSignal): Promise<void> {
    return this._until(() => true, signal);
  }

  /** For `most` milliseconds, or until the server is there again. */
  private _pause(most: number, signal: AbortSignal): Promise<void> {
    const isLive = (): boolean => this.model.connection === 'live';
    const wasLive = isLive();
    return this._until(() => !wasLive && isLive(), signal, most);
  }

  /**
   * Until a change of the model after which `isSo`; throws if `signal` does.
   *
   * @param most milliseconds after which it goes on in any case
   */
  private _until(
    isSo: () => boolean,
    signal: AbortSignal,
    most?: number
  ): Promise<void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.model.changed.disconnect(onChange);
        signal.removeEventListener('abort', onAbort);
        window.clearTimeout(timer);
      };
      const go = (): void => {
        leave();
        resolve();
      };
      const onChange = (): void => {
        if (isSo()) {
          go();
        }
      };
      const onAbort = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      const timer = most === undefined ? undefined : window.setTimeout(go, most);
      this.model.changed.connect(onChange);
      signal.addEventListener('abort', onAbort);
    });
  }

  private _setStatus(status: LogStatus): void {
    if (status !== this._status) {
      this._status = status;
      this._statusChanged.emit();
    }
  }

  /** The attempt whose log the sink has; 0: none yet. */
  private _attempt = 0;
  /** Whether the sink has all of it. */
  private _isComplete = false;
  /** When the page could last do something else. */
  private _breath = 0;
  private _status: LogStatus = 'paused';
  private _problem = '';
  private _reading: AbortController | null = null;
  private _isDisposed = false;
  private readonly _statusChanged = new Signal<this, void>(this);
}
