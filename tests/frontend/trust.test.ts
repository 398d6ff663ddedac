import { nullTranslator } from '@jupyterlab/translation';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RequestProblem } from '../../labextension/src/api';
import { SessionsModel } from '../../labextension/src/model';
import { Settings } from '../../labextension/src/settings';
import { startSession } from '../../labextension/src/starting';
import { visible } from '../../labextension/src/visible';
import { FakeTransport, app, form } from './fakes';

const trans = nullTranslator.load('jupyter_sessions');

let server: FakeTransport;
let model: SessionsModel;

beforeEach(() => {
  server = new FakeTransport();
  model = new SessionsModel(server);
});

afterEach(() => {
  model.dispose();
  document.body.replaceChildren();
});

describe('the apps of a project', () => {
  it('are asked for with the folder that people look at', async () => {
    await model.ready;
    server.asked.length = 0;
    model.folder = 'work';
    model.folder = 'work';
    await vi.waitFor(() => expect(server.asked).toEqual(['apps of work']));
    await model.refresh();
    expect(server.asked.filter(each => each === 'apps of work')).toHaveLength(2);
  });

  it('are those of the folder that is looked at last', async () => {
    await model.ready;
    let open = (): void => undefined;
    server.gate = new Promise(resolve => (open = resolve));
    const offered = vi.spyOn(server, 'apps');
    offered.mockImplementation(async cwd => {
      if (cwd === 'first') {
        await server.gate;
      }
      return [app({ name: cwd ?? '' })];
    });
    model.folder = 'first';
    model.folder = 'second';
    await vi.waitFor(() => expect(model.app('second')).toBeDefined());
    open();
    await server.gate;
    await Promise.resolve();
    expect(model.apps.map(each => each.name)).toEqual(['second']);
  });
});

describe('an app that is not trusted', () => {
  function start(): ReturnType<typeof startSession> {
    return startSession({
      model,
      settings: new Settings(),
      trans,
      request: { app: 'project:dash', cwd: 'work' },
      ask: false
    });
  }

  async function press(label: string): Promise<void> {
    const find = (): HTMLElement | undefined =>
      [...document.querySelectorAll<HTMLElement>('.jp-Dialog-button')].find(
        each => each.textContent === label
      );
    await vi.waitFor(() => expect(find()).toBeDefined());
    find()?.click();
  }

  beforeEach(() => {
    let trusted = false;
    vi.spyOn(server, 'form').mockImplementation(() =>
      trusted
        ? Promise.resolve(form({ app: app({ name: 'project:dash' }) }))
        : Promise.reject(new RequestProblem('no', 409, 'untrusted'))
    );
    vi.spyOn(server, 'trust').mockImplementation((name, digest, cwd) => {
      server.asked.push(`trust ${name} ${digest} ${cwd ?? ''}`);
      trusted = true;
      return Promise.resolve();
    });
  });

  it('is started once people trust what they see', async () => {
    const started = start();
    await vi.waitFor(() =>
      expect(document.querySelector('.jp-sessions-trust')?.textContent).toContain(
        'run it'
      )
    );
    await press('Trust');
    expect((await started)?.app).toBe('project:dash');
    expect(server.asked).toContain('trust project:dash d1 work');
  });

  it('is not started otherwise', async () => {
    const started = start();
    await press('Cancel');
    expect(await started).toBeNull();
    expect(server.started).toEqual([]);
  });

  it('is shown again if it has changed meanwhile', async () => {
    vi.mocked(server.trust).mockImplementationOnce(() => {
      server.theTrust = { ...server.theTrust, digest: 'd2' };
      return Promise.reject(new RequestProblem('It has changed.', 409, 'changed'));
    });
    const started = start();
    await press('Trust');
    await press('Look again');
    await press('Trust');
    await started;
    expect(server.asked).toContain('trust project:dash d2 work');
  });
});

describe('text of strangers', () => {
  it('shows what is hidden in it', () => {
    expect(visible('a\u202eb\u0000c\u001b[2J')).toBe('a‹U+202E›b‹U+0000›c‹U+001B›[2J');
    expect(visible('x\r\n\ty\rz')).toBe('x\n\ty‹U+000D›z');
    expect(visible('naïve — 東京 🎉')).toBe('naïve — 東京 🎉');
  });
});
