import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RequestProblem } from '../../labextension/src/api';
import { LogFollower, type ILogSink } from '../../labextension/src/logs/follower';
import { SessionsModel } from '../../labextension/src/model';
import type { ISession } from '../../labextension/src/tokens';
import { FakeTransport, session } from './fakes';

/** One answer of the server: the test says what it holds, and when. */
class Stream {
  isAborted = false;

  constructor(signal?: AbortSignal) {
    signal?.addEventListener('abort', () => {
      this.isAborted = true;
      this._wake();
    });
  }

  say(text: string): void {
    this._pieces.push(text);
    this._wake();
  }

  end(): void {
    this._isOver = true;
    this._wake();
  }

  breakOff(): void {
    this._problem = new RequestProblem('gone', 0, 'no_answer');
    this._wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    for (;;) {
      const piece = this._pieces.shift();
      if (piece !== undefined) {
        yield piece;
      } else if (this.isAborted || this._isOver) {
        return;
      } else if (this._problem) {
        throw this._problem;
      } else {
        await new Promise<void>(resolve => (this._wake = resolve));
      }
    }
  }

  private readonly _pieces: string[] = [];
  private _isOver = false;
  private _problem: Error | null = null;
  private _wake: () => void = () => undefined;
}

class Transport extends FakeTransport {
  readonly streams: Stream[] = [];

  override async *log(
    id: string,
    options?: { signal?: AbortSignal }
  ): AsyncIterable<string> {
    this.asked.push(`log ${id}`);
    const stream = new Stream(options?.signal);
    this.streams.push(stream);
    yield* stream;
  }

  /** As the server has it, and tells it if somebody listens. */
  change(changes: Partial<ISession>, tell = true): void {
    const before = this.sessions[0] ?? session();
    const after = session({ ...before, ...changes, revision: before.revision + 1 });
    this.sessions = [after];
    if (tell) {
      this.events.tell({ id: after.id, change: 'updated', session: after });
    }
  }
}

class Sink implements ILogSink {
  readonly heard: string[] = [];
  begin({ attempt }: ISession): void {
    this.heard.push(`begin ${attempt}`);
  }
  restart(): void {
    this.heard.push('restart');
  }
  push(text: string): void {
    this.heard.push(text);
  }
  end(): void {
    this.heard.push('end');
  }
}

const ENDED = { state: 'stopped', actions: ['restart', 'logs', 'delete'] } as const;

let transport: Transport;
let model: SessionsModel;
let sink: Sink;
let follower: LogFollower;

/** Let all that can happen without time going by happen. */
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

async function begin(changes: Partial<ISession> = {}): Promise<void> {
  transport.sessions = [session(changes)];
  transport.events.connected = true;
  model = new SessionsModel(transport);
  await model.ready;
  follower = new LogFollower('abc', model, sink, 100);
  follower.resume();
  await settle();
}

beforeEach(() => {
  vi.useFakeTimers();
  transport = new Transport();
  sink = new Sink();
});

afterEach(() => {
  follower.dispose();
  model.dispose();
  vi.useRealTimers();
});

describe('a log', () => {
  it('is handed on as it comes', async () => {
    await begin();
    transport.streams[0]!.say('one');
    await settle();
    transport.streams[0]!.say('two');
    await settle();
    expect(sink.heard).toEqual(['begin 1', 'one', 'two']);
    expect(follower.status).toBe('reading');
  });

  it('is over when the session is', async () => {
    await begin();
    transport.change(ENDED);
    transport.streams[0]!.say('bye');
    transport.streams[0]!.end();
    await settle();
    expect(sink.heard).toEqual(['begin 1', 'bye', 'end']);
    expect(follower.status).toBe('ended');
    await vi.advanceTimersByTimeAsync(600_000);
    expect(transport.streams).toHaveLength(1);
  });

  it('goes on with the next attempt', async () => {
    await begin();
    transport.change({ attempt: 2, state: 'created' });
    transport.streams[0]!.end();
    await settle();
    transport.streams[1]!.say('again');
    await settle();
    expect(sink.heard).toEqual(['begin 1', 'end', 'begin 2', 'again']);
  });

  it('goes on when a session that has ended is started again', async () => {
    await begin(ENDED);
    transport.streams[0]!.end();
    await settle();
    expect(follower.status).toBe('ended');
    transport.change({ actions: ['stop', 'logs'] }); // asked for, not begun
    await settle();
    expect(transport.streams).toHaveLength(1);
    transport.change({ attempt: 2, state: 'created' });
    await settle();
    expect(sink.heard).toEqual(['begin 1', 'end', 'begin 2']);
  });

  it('waits for the model if the server knew of the next attempt first', async () => {
    await begin();
    transport.change({ attempt: 2, state: 'running' }, false);
    transport.streams[0]!.end();
    await settle();
    expect(sink.heard).toEqual(['begin 1', 'end']);
    transport.events.tell({
      id: 'abc',
      change: 'restarted',
      session: transport.sessions[0]!
    });
    await settle();
    expect(sink.heard).toEqual(['begin 1', 'end', 'begin 2']);
  });

  it('is not read twice if its stream is the next attempt’s already', async () => {
    await begin();
    transport.change({ attempt: 2, state: 'running' });
    await vi.advanceTimersByTimeAsync(5_000);
    transport.streams[0]!.say('of the second');
    transport.streams[0]!.breakOff();
    await settle();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(transport.streams).toHaveLength(2);
    expect(sink.heard).toEqual(['begin 1', 'of the second', 'restart']);
  });
});

describe('a connection that breaks', () => {
  it('is tried again, with more and more patience', async () => {
    await begin();
    const waits = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
    for (const [n, wait] of waits.entries()) {
      transport.streams.at(-1)!.breakOff();
      await settle();
      expect(follower.status).toBe('broken');
      await vi.advanceTimersByTimeAsync(wait - 1);
      expect(transport.streams).toHaveLength(n + 1);
      await vi.advanceTimersByTimeAsync(1);
      expect(transport.streams).toHaveLength(n + 2);
      expect(follower.status).toBe('reading');
    }
    transport.streams.at(-1)!.say('there');
    transport.streams.at(-1)!.breakOff();
    await settle();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(transport.streams).toHaveLength(waits.length + 2);
  });

  it('is tried at once when the server is back', async () => {
    await begin();
    transport.events.connect(false);
    transport.streams[0]!.breakOff();
    await vi.advanceTimersByTimeAsync(10);
    expect(follower.status).toBe('broken');
    transport.events.connect();
    await vi.advanceTimersByTimeAsync(10);
    expect(transport.streams).toHaveLength(2);
    expect(sink.heard).toEqual(['begin 1', 'restart']);
  });

  it('is noticed even if it ends properly', async () => {
    await begin();
    transport.streams[0]!.say('one');
    transport.streams[0]!.end(); // but the session runs
    await settle();
    expect(follower.status).toBe('broken');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sink.heard).toEqual(['begin 1', 'one', 'restart']);
  });
});

describe('a log that nobody looks at', () => {
  it('is let go of, and read again later', async () => {
    await begin();
    transport.streams[0]!.say('one');
    await settle();
    follower.pause();
    await settle();
    expect(transport.streams[0]!.isAborted).toBe(true);
    expect(follower.status).toBe('paused');
    await vi.advanceTimersByTimeAsync(600_000);
    expect(transport.streams).toHaveLength(1);
    follower.resume();
    await settle();
    expect(sink.heard).toEqual(['begin 1', 'one', 'restart']);
  });

  it('hands nothing on any more', async () => {
    await begin();
    transport.streams[0]!.say('too late');
    follower.pause();
    follower.resume();
    await vi.advanceTimersByTimeAsync(100);
    expect(sink.heard).toEqual(['begin 1', 'restart']);
  });

  it('is not read again if all of it is there', async () => {
    await begin(ENDED);
    transport.streams[0]!.end();
    await settle();
    follower.pause();
    follower.resume();
    await settle();
    expect(follower.status).toBe('ended');
    expect(transport.streams).toHaveLength(1);
  });

  it('is let go of for good', async () => {
    await begin();
    follower.dispose();
    await settle();
    expect(transport.streams[0]!.isAborted).toBe(true);
    follower.resume();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(transport.streams).toHaveLength(1);
  });
});

describe('a log that cannot be had', () => {
  it('says why', async () => {
    transport.log = () => {
      throw new RequestProblem('You may not.', 403, 'forbidden');
    };
    await begin();
    expect(follower.status).toBe('refused');
    expect(follower.problem).toBe('You may not.');
  });

  it('is gone with its session', async () => {
    await begin();
    transport.sessions = [];
    transport.events.tell({ id: 'abc', change: 'deleted' });
    transport.streams[0]!.breakOff();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(follower.status).toBe('gone');
  });
});
