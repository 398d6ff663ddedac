import { nullTranslator } from '@jupyterlab/translation';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { RequestProblem } from '../../labextension/src/api';
import { LaunchState, type ILaunchOptions } from '../../labextension/src/form/state';
import { SessionsModel } from '../../labextension/src/model';
import type { IChoices, IForm } from '../../labextension/src/tokens';
import { FakeTransport, app, form, spawner } from './fakes';

const trans = nullTranslator.load('jupyter_sessions');

const OPTIONS = {
  type: 'object',
  required: ['data'],
  properties: {
    data: { type: 'string' },
    size: { type: 'integer', minimum: 1, maximum: 8, default: 2 },
    seed: { type: 'integer', 'x-advanced': true },
    folder: { type: 'string', 'x-default-from': 'cwd' }
  }
};
const QUEUE = { properties: { cores: { type: 'integer', default: 1 } } };

function given(
  changes: Partial<IForm> = {},
  values: Partial<IForm['values']> = {}
): IForm {
  return form({
    app: app({ options: OPTIONS }),
    spawners: [
      spawner(),
      spawner({ name: 'slurm', title: 'Cluster', options: QUEUE }),
      spawner({ name: 'far', available: false, unavailable_reason: 'no key' }),
      spawner({ name: 'ssh', host: 'hpc', same_files: false })
    ],
    ...changes,
    values: {
      spawner: 'local',
      cwd: 'work',
      timeout: null,
      options: { size: 2, folder: '/root/work' },
      resources: { local: {}, slurm: { cores: 4 } },
      ...values
    }
  });
}

class Recording extends FakeTransport {
  remembered: IChoices[] = [];
  saved: { [name: string]: IChoices } = {};
  folders: (string | undefined)[] = [];
  spawners: (string | undefined)[] = [];

  override form(name: string, cwd?: string, spawner?: string): Promise<IForm> {
    this.folders.push(cwd);
    this.spawners.push(spawner);
    return super.form(name);
  }
  override remember(name: string, choices?: IChoices): Promise<void> {
    this.remembered.push(choices ?? {});
    return super.remember(name);
  }
  override savePreset(name: string, preset: string, choices?: IChoices): Promise<void> {
    this.saved[preset] = choices ?? {};
    return super.savePreset(name, preset);
  }
}

const opened: { dispose(): void }[] = [];
afterEach(() => opened.splice(0).forEach(each => each.dispose()));

function open(options: Partial<ILaunchOptions> = {}): {
  state: LaunchState;
  transport: Recording;
} {
  const transport = new Recording();
  const model = new SessionsModel(transport);
  const state = new LaunchState({ model, form: given(), trans, ...options });
  opened.push(state, model);
  return { state, transport };
}

function shows(state: LaunchState, ...fields: string[]): void {
  fields.forEach(field => state.show(field));
}

describe('what is asked for', () => {
  it('has the beginning, and nothing that nobody chose', () => {
    const { state } = open();
    expect(state.request).toEqual({
      app: 'files',
      spawner: 'local',
      options: { size: 2 },
      resources: {},
      timeout: null
    });
    expect(state.folder).toBe('work');
  });

  it('has what is typed already', () => {
    const { state } = open({
      initial: {
        spawner: 'slurm',
        options: { data: 'x', folder: '/data' },
        resources: { cores: 8 },
        timeout: 3_600,
        name: 'Big',
        cwd: 'sub'
      },
      file: 'sub/a.py'
    });
    expect(state.request).toEqual({
      app: 'files',
      spawner: 'slurm',
      options: { data: 'x', size: 2, folder: '/data' },
      resources: { cores: 8 },
      timeout: 3_600,
      name: 'Big',
      cwd: 'sub',
      file: 'sub/a.py'
    });
  });

  it('keeps resources apart by spawner', () => {
    const { state } = open();
    state.spawner = state.form.spawners[1];
    expect(state.request.resources).toEqual({ cores: 4 });
    state.change('resources', { cores: 5 }, 'cores');
    state.spawner = state.form.spawners[0];
    expect(state.request.resources).toEqual({});
    state.spawner = state.form.spawners[1];
    expect(state.request.resources).toEqual({ cores: 5 });
  });

  it('has a folder of its own for each host with files of its own', () => {
    const { state } = open();
    const [local, , , ssh] = state.form.spawners;
    expect(state.fields('options').shown['folder']).toBe('/root/work');
    state.spawner = ssh;
    expect(state.elsewhere).toBe('hpc');
    expect(state.folder).toBe('');
    expect(state.fields('options').shown['folder']).toBeUndefined();
    expect(state.request.cwd).toBeUndefined();
    expect(state.request.options).toEqual({ size: 2 });
    state.folder = '/scratch/ada';
    expect(state.request.cwd).toBe('/scratch/ada');
    state.spawner = local;
    expect(state.folder).toBe('work');
    expect(state.request.cwd).toBeUndefined();
    expect(state.fields('options').shown['folder']).toBe('/root/work');
    state.spawner = ssh;
    expect(state.folder).toBe('/scratch/ada');
  });

  it('asks nobody about projects on another host', async () => {
    const { state, transport } = open();
    state.spawner = state.form.spawners[3];
    state.folder = '/scratch/ada';
    await state.leaveFolder();
    expect(transport.folders).toEqual([]);
  });

  it('takes a folder of the file browser for no other host’s', () => {
    const browsed = open({ initial: { cwd: 'sub' } }).state;
    browsed.spawner = browsed.form.spawners[3];
    expect(browsed.request.cwd).toBeUndefined();
    const said = open({ initial: { spawner: 'ssh', cwd: '/scratch' } }).state;
    expect(said.request).toMatchObject({ spawner: 'ssh', cwd: '/scratch' });
  });

  it('does not choose what is not there', () => {
    const { state } = open({ initial: { spawner: 'far' } });
    expect(state.spawner?.name).toBe('local');
  });

  it('goes back to the usual spawner and limit', () => {
    const { state } = open({
      form: given(
        {
          usual: { spawner: 'slurm', timeout: 3_600 },
          sources: { spawner: 'remembered', timeout: 'project' }
        },
        { timeout: 60 }
      )
    });
    expect(state.source('spawner')).toBe('remembered');
    expect(state.hasDefault('timeout')).toBe(true);
    state.reset('spawner');
    state.reset('timeout');
    expect(state.request).toMatchObject({ spawner: 'slurm', timeout: 3_600 });
    expect(state.source('spawner')).toBeUndefined();
    expect(state.source('timeout')).toBeUndefined();
  });

  it('sends a limit that nobody touched as it came', () => {
    const { state } = open({ form: given({}, { timeout: 100 }) });
    expect(state.timeLimit).toEqual({ amount: '1.67', unit: 'minutes' });
    expect(state.request.timeout).toBe(100);
    state.timeLimit = { amount: '2', unit: 'hours' };
    expect(state.request.timeout).toBe(7_200);
  });
});

describe('the start', () => {
  it('is not tried while something is wrong, which is said at its field', async () => {
    const { state, transport } = open();
    shows(state, 'options.data', 'options.seed', 'timeout');
    expect(state.problems.at.size).toBe(0);
    expect(await state.start()).toBe(false);
    expect(transport.started).toEqual([]);
    expect([...state.problems.at]).toEqual([['options.data', ['This is required.']]]);
    expect(state.failures).toBe(1);
    expect(state.isUnfolded).toBe(false);
    state.change('options', { data: 'x' }, 'data');
    expect(state.problems.at.size).toBe(0);
  });

  it('unfolds what is folded and wrong', async () => {
    const { state } = open({ initial: { options: { data: 'x', seed: 'no' } } });
    await state.start();
    expect(state.isUnfolded).toBe(true);
    const { state: other } = open({
      form: given({ limits: { max_timeout: 3_600 } }),
      initial: { options: { data: 'x' }, timeout: 7_200 }
    });
    shows(other, 'timeout');
    await other.start();
    expect(other.isUnfolded).toBe(true);
    expect(other.problems.at.get('timeout')).toEqual([
      'The most that is allowed is 1 hour.'
    ]);
  });

  it('remembers what people chose, but no folders', async () => {
    const { state, transport } = open({
      form: given({ sources: { timeout: 'remembered' } }, { timeout: 60 })
    });
    state.change('options', { data: 'x' }, 'data');
    state.change('options', { folder: '/data' }, 'folder');
    expect(await state.start()).toBe(true);
    expect(state.session?.id).toBe('made1');
    expect(transport.started[0]?.options).toEqual({
      data: 'x',
      size: 2,
      folder: '/data'
    });
    expect(transport.remembered).toEqual([
      { options: { data: 'x' }, resources: {}, timeout: 60 }
    ]);
  });

  it('does not start twice', async () => {
    const { state, transport } = open({ initial: { options: { data: 'x' } } });
    const first = state.start();
    expect(state.isBusy).toBe(true);
    expect(await state.start()).toBe(false);
    expect(await first).toBe(true);
    expect(await state.start()).toBe(false);
    expect(transport.started).toHaveLength(1);
    expect(state.isBusy).toBe(false);
  });

  it('shows each of the server’s refusals where it belongs, until it is changed', async () => {
    const { state, transport } = open({ initial: { options: { data: 'x' } } });
    shows(state, 'options.data', 'options.seed', 'cwd');
    transport.fail = new RequestProblem('wrong', 400, 'invalid', [
      { field: 'options.data', message: 'there is no such data' },
      { field: 'options.seed', message: 'too lucky' },
      { field: 'options.hidden', message: 'not here' }
    ]);
    expect(await state.start()).toBe(false);
    expect(Object.fromEntries(state.problems.at)).toEqual({
      'options.data': ['There is no such data.'],
      'options.seed': ['Too lucky.']
    });
    expect(state.problems.rest).toEqual([
      { field: 'options.hidden', message: 'Not here.' }
    ]);
    expect(state.problem).toBe('');
    expect(state.isUnfolded).toBe(true);
    state.change('options', { data: 'y' }, 'data');
    expect([...state.problems.at.keys()]).toEqual(['options.seed']);
    transport.fail = null;
    expect(await state.start()).toBe(true);
    expect(state.problems.at.size).toBe(0);
  });

  it('says if there is no answer, and loses nothing', async () => {
    const { state, transport } = open({ initial: { options: { data: 'x' } } });
    transport.fail = new RequestProblem('Failed to fetch', 0, 'no_answer');
    expect(await state.start()).toBe(false);
    expect(state.problem).toContain('Failed to fetch');
    expect(state.request.options).toMatchObject({ data: 'x' });
    transport.fail = null;
    expect(await state.start()).toBe(true);
  });

  it('says a refusal that is about no field', async () => {
    const { state, transport } = open({ initial: { options: { data: 'x' } } });
    transport.fail = new RequestProblem('you may not', 403, 'forbidden');
    await state.start();
    expect(state.problem).toBe('You may not.');
  });

  it('is taken back if people changed their mind meanwhile', async () => {
    const { state, transport } = open({ initial: { options: { data: 'x' } } });
    const start = state.start();
    state.dispose();
    expect(await start).toBe(false);
    expect(state.session).toBeNull();
    expect(transport.asked).toContain('forget made1');
    expect(transport.remembered).toEqual([]);
  });
});

describe('another spawner', () => {
  const found = (choices: string[]): Partial<IForm> => {
    const kernel = { type: 'string', 'x-choices-from': 'kernels', enum: choices };
    return { app: app({ options: { properties: { kernel } } }) };
  };

  it('brings the choices that were found out for it', async () => {
    const { state, transport } = open({ form: given(found(['python3'])) });
    transport.theForm = given(found(['ir']));
    state.spawner = state.form.spawners[1];
    state.change('options', { kernel: 'mine' }, 'kernel');
    await vi.waitFor(() => {
      expect(state.form.app.options).toEqual(transport.theForm.app.options);
    });
    expect(transport.spawners).toEqual(['slurm']);
    expect(state.spawner?.name).toBe('slurm');
    expect(state.fields('options').shown['kernel']).toBe('mine'); // for people to see
    state.spawner = state.form.spawners[1];
    expect(transport.spawners).toHaveLength(1);
  });

  it('is asked about at once if the form does not begin with it', () => {
    const { transport } = open({
      form: given(found(['python3'])),
      initial: { spawner: 'slurm' }
    });
    expect(transport.spawners).toEqual(['slurm']);
  });

  it('is no question where nothing has to be found out', () => {
    const { state, transport } = open();
    state.spawner = state.form.spawners[1];
    expect(transport.spawners).toEqual([]);
  });
});

describe('another folder', () => {
  it('brings other defaults, and keeps what was typed', async () => {
    const { state, transport } = open();
    state.change('options', { data: 'mine' }, 'data');
    transport.theForm = given(
      { sources: { 'options.size': 'project', 'options.data': 'project' } },
      { cwd: 'other', options: { size: 7, data: 'theirs', folder: '/root/other' } }
    );
    state.folder = 'other';
    await state.leaveFolder();
    expect(transport.folders).toEqual(['other']);
    expect(state.fields('options').shown).toMatchObject({
      data: 'mine',
      size: 7,
      folder: '/root/other'
    });
    expect(state.source('options.size')).toBe('project');
    expect(state.source('options.data')).toBeUndefined();
    expect(state.request.cwd).toBe('other');
    await state.leaveFolder();
    expect(transport.folders).toHaveLength(1); // the same is not asked for again
  });

  it('may be wrong', async () => {
    const { state, transport } = open();
    shows(state, 'cwd');
    transport.fail = new RequestProblem('x', 400, 'invalid', [
      { field: 'cwd', message: 'no such folder' }
    ]);
    state.folder = 'nowhere';
    await state.leaveFolder();
    expect(state.problems.at.get('cwd')).toEqual(['No such folder.']);
    expect(state.failures).toBe(0); // people are at the next field already
  });

  it('takes the last answer only', async () => {
    const { state, transport } = open();
    let release = (): void => undefined;
    transport.gate = new Promise(resolve => (release = resolve));
    state.folder = 'a';
    const first = state.leaveFolder();
    transport.theForm = given({}, { cwd: 'a', options: { size: 5 } });
    state.folder = 'b';
    const second = state.leaveFolder();
    transport.fail = null;
    release();
    await Promise.all([first, second]);
    expect(transport.folders).toEqual(['a', 'b']);
    expect(state.fields('options').shown['size']).toBe(2);
  });
});

describe('presets', () => {
  const presets = {
    Big: { spawner: 'slurm', options: { data: 'big' }, resources: { cores: 32 } },
    Old: { options: { gone: 1, data: 'old' }, timeout: 60 }
  };

  it('fill the form, and are taken back', () => {
    const { state } = open({
      form: given({ presets }),
      initial: { options: { data: 'x' } }
    });
    expect(state.presets).toEqual(['Big', 'Old']);
    state.preset = 'Big';
    expect(state.request).toMatchObject({
      spawner: 'slurm',
      options: { data: 'big', size: 2 },
      resources: { cores: 32 }
    });
    state.preset = 'Old';
    expect(state.request).toMatchObject({
      spawner: 'local',
      options: { data: 'old', size: 2 },
      timeout: 60
    });
    state.preset = '';
    expect(state.request).toMatchObject({
      spawner: 'local',
      options: { data: 'x', size: 2 },
      timeout: null
    });
  });

  it('are saved with all that is chosen', async () => {
    const { state, transport } = open();
    state.change('options', { data: 'x' }, 'data');
    await state.savePreset('Mine');
    expect(transport.saved).toEqual({
      Mine: {
        spawner: 'local',
        options: { data: 'x', size: 2 },
        resources: {},
        timeout: null
      }
    });
    expect(state.presets).toEqual(['Mine']);
    expect(state.preset).toBe('Mine');
  });

  it('are deleted, and the fields stay', async () => {
    const { state, transport } = open({ form: given({ presets }) });
    state.preset = 'Big';
    await state.deletePreset();
    expect(transport.asked).toContain('deletePreset files Big');
    expect(state.presets).toEqual(['Old']);
    expect(state.preset).toBe('');
    expect(state.request.options).toMatchObject({ data: 'big' });
  });

  it('tell why they could not be saved', async () => {
    const { state, transport } = open();
    transport.fail = new RequestProblem('disk full', 507);
    await expect(state.savePreset('Mine')).rejects.toThrow('disk full');
    expect(state.presets).toEqual([]);
  });
});

describe('where values come from', () => {
  it('is known until they are typed', () => {
    const { state } = open({
      form: given(
        {
          sources: {
            'options.size': 'remembered',
            'resources.cores': 'project',
            timeout: 'remembered',
            spawner: 'remembered'
          }
        },
        { spawner: 'slurm', timeout: 60, options: { size: 5 } }
      )
    });
    expect(state.source('options.size')).toBe('remembered');
    expect(state.source('resources.cores')).toBe('project');
    expect(state.source('timeout')).toBe('remembered');
    expect(state.source('spawner')).toBe('remembered');
    state.reset('options.size');
    state.timeLimit = { amount: '', unit: 'none' };
    state.spawner = state.form.spawners[0];
    for (const field of ['options.size', 'resources.cores', 'timeout', 'spawner']) {
      expect(state.source(field)).toBeUndefined();
    }
    expect(state.request.options).toEqual({ size: 2 });
  });
});
