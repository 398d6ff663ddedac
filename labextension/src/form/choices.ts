/** What is chosen in the launch dialog, over what the server says it begins with. Pure. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { JSONExt, type JSONObject } from '@lumino/coreutils';
import type { IChoices, IForm, ISpawner, IStartRequest, Layer } from '../tokens';
import { Fieldset, type IBeginning } from './fieldset';
import { asSentence, explain, type IProblem } from './problems';
import { timeLimitProblem, toSeconds, toTimeLimit, type ITimeLimit } from './timelimit';

/** The two objects of options that a form has. */
export type Part = 'options' | 'resources';

/** The fields of every app that are folded away at first. */
const FOLDED: readonly string[] = ['name', 'cwd', 'timeout'];

/** Typed already: wins over what the form begins with. */
export type IInitial = IChoices & { name?: string; cwd?: string };

export class Choices {
  constructor(
    private _form: IForm,
    private readonly _initial: IInitial
  ) {
    this.name = _initial.name ?? '';
    this._folder = _initial.cwd;
    this._options = new Fieldset(_form.app.options, beginning(_form));
    this._lay(_initial);
    // Who says where says which folder there; else it is one of the file browser's.
    if (_initial.spawner !== undefined && _initial.cwd !== undefined) {
      this.folder = _initial.cwd;
    }
  }

  name: string;

  /**
   * The folder to start in, relative to the server's root folder or absolute. Each host with files
   * of its own has one of its own, relative to the home there; empty for that home.
   */
  get folder(): string {
    const host = this.elsewhere;
    return host === undefined
      ? (this._folder ?? this._form.values.cwd)
      : (this._foldersThere.get(host) ?? '');
  }
  set folder(folder: string) {
    const host = this.elsewhere;
    if (host === undefined) {
      this._folder = folder;
    } else {
      this._foldersThere.set(host, folder);
    }
  }

  /** The host that it will run on, if that has files of its own. */
  get elsewhere(): string | undefined {
    const { spawner } = this;
    return spawner === undefined || spawner.same_files ? undefined : spawner.host;
  }

  get spawner(): ISpawner | undefined {
    return this._form.spawners.find(({ name }) => name === this._spawner);
  }
  set spawner(spawner: ISpawner | undefined) {
    this._spawner = spawner?.name ?? '';
    this._hasSpawner = true;
  }

  get timeLimit(): ITimeLimit {
    return this._timeLimit ?? toTimeLimit(this._form.values.timeout);
  }
  set timeLimit(limit: ITimeLimit) {
    this._timeLimit = limit;
  }

  /** The app's options, or the resources of the chosen spawner. */
  fields(part: Part): Fieldset {
    if (part === 'options') {
      this._options.isElsewhere = this.elsewhere !== undefined;
      return this._options;
    }
    const spawner = this._spawner;
    let fields = this._resources.get(spawner);
    if (!fields) {
      fields = this._fieldsOf(spawner);
      this._resources.set(spawner, fields);
    }
    return fields;
  }

  /** Whose value a field has, if it is neither the app's nor typed. */
  source(field: string): Layer | undefined {
    const [part, name] = split(field);
    if (name !== undefined) {
      return part === 'resources' && this._spawner !== this._form.values.spawner
        ? undefined
        : this.fields(part).source(name);
    }
    const touched =
      field === 'timeout' ? this._timeLimit !== undefined : this._hasSpawner;
    const layer = this._form.sources[field];
    return touched || layer === 'app' ? undefined : layer;
  }

  /** Give one of the fields that every app has the value that it has for everybody. */
  reset(field: 'spawner' | 'timeout'): void {
    const { spawners, usual } = this._form;
    if (field === 'timeout') {
      this.timeLimit = toTimeLimit(usual.timeout);
    } else {
      this.spawner = spawners.find(({ name }) => name === usual.spawner);
    }
  }

  /** Whether the choices of an option depend on the spawner. */
  get hasFoundChoices(): boolean {
    return [...this._options.rules.declared.values()].some(
      schema => schema['x-choices-from'] !== undefined
    );
  }

  /** Whether a field is folded away at first. */
  isFolded(field: string): boolean {
    const [part, name] = split(field);
    return name === undefined
      ? FOLDED.includes(field)
      : this.fields(part).isAdvanced(name.split('.')[0] ?? '');
  }

  /** Take `choices` instead of all that was typed, name and folder apart; null: as at first. */
  replace(choices: IChoices | null): void {
    this._timeLimit = undefined;
    this._resources.clear();
    this._lay(choices ?? this._initial);
  }

  /** The server has other values to begin with. What was typed stays. */
  begin(form: IForm): void {
    const before = this._form;
    this._form = form;
    if (JSONExt.deepEqual(before.app.options, form.app.options)) {
      this._options.begin(beginning(form));
    } else {
      const { chosen } = this._options;
      this._options = new Fieldset(form.app.options, beginning(form), chosen);
    }
    for (const [name, fields] of this._resources) {
      fields.begin(beginning(form, name));
    }
    if (!this._hasSpawner) {
      const usual = form.spawners.find(({ name }) => name === form.values.spawner);
      this._spawner = usual?.available ? usual.name : this._spawner;
    }
  }

  /** What can be told to be wrong without asking the server. */
  check(trans: TranslationBundle): IProblem[] {
    const found: IProblem[] = [];
    const { spawner } = this;
    if (spawner && !spawner.available) {
      found.push({
        field: 'spawner',
        message: asSentence(spawner.unavailable_reason || trans.__('Not available'))
      });
    }
    for (const part of ['resources', 'options'] as const) {
      found.push(...explain(this.fields(part).refusals, part, trans));
    }
    const message =
      this._timeLimit &&
      timeLimitProblem(this._timeLimit, this._form.limits.max_timeout, trans);
    if (message) {
      found.push({ field: 'timeout', message });
    }
    return found;
  }

  /** What the server is asked for. */
  get request(): IStartRequest {
    const request: IStartRequest = { app: this._form.app.name, ...this.given };
    const name = this.name.trim();
    if (name) {
      request.name = name;
    }
    if (this.elsewhere !== undefined) {
      if (this.folder.trim()) {
        request.cwd = this.folder.trim();
      }
    } else if (this._folder !== undefined) {
      request.cwd = this._folder;
    }
    return request;
  }

  /** All that is chosen: what a preset holds. */
  get given(): IChoices {
    return this._some(fields => fields.given);
  }

  /** What people chose, now or the last time, and not what a project or an app says anyway. */
  get chosen(): IChoices {
    const { sources } = this._form;
    const choices = this._some(fields => fields.chosen);
    const isOwn = this._hasSpawner || sources['spawner'] === 'remembered';
    if (!isOwn && Object.keys(choices.resources ?? {}).length === 0) {
      delete choices.spawner; // resources are of a spawner
    }
    if (!this._timeLimit && sources['timeout'] !== 'remembered') {
      delete choices.timeout;
    }
    return choices;
  }

  private _some(of: (fields: Fieldset) => JSONObject): IChoices {
    return {
      spawner: this._spawner,
      options: of(this.fields('options')),
      resources: of(this.fields('resources')),
      // What nobody touched is sent as it came: a unit may have rounded it.
      timeout: this._timeLimit ? toSeconds(this._timeLimit) : this._form.values.timeout
    };
  }

  private _lay(choices: IChoices): void {
    const { spawners, values } = this._form;
    const open = spawners.filter(each => each.available);
    const wanted = choices.spawner ?? values.spawner;
    const found = spawners.find(({ name }) => name === wanted);
    // What cannot be used is shown, but not chosen.
    const chosen = found?.available ? found : (open[0] ?? found ?? spawners[0]);
    this._spawner = chosen?.name ?? '';
    this._hasSpawner = choices.spawner !== undefined;
    this._options.type(choices.options ?? {});
    if (choices.resources && chosen?.name === wanted) {
      this._resources.set(chosen.name, this._fieldsOf(chosen.name, choices.resources));
    }
    if (choices.timeout !== undefined) {
      this._timeLimit = toTimeLimit(choices.timeout);
    }
  }

  private _fieldsOf(spawner: string, typed: JSONObject = {}): Fieldset {
    const found = this._form.spawners.find(({ name }) => name === spawner);
    return new Fieldset(found?.options ?? {}, beginning(this._form, spawner), typed);
  }

  /** Undefined: nobody said one. */
  private _folder: string | undefined;
  /** By host. */
  private readonly _foldersThere = new Map<string, string>();
  private _spawner = '';
  /** Somebody chose the spawner. */
  private _hasSpawner = false;
  private _timeLimit: ITimeLimit | undefined;
  private _options: Fieldset;
  /** By spawner. */
  private readonly _resources = new Map<string, Fieldset>();
}

/** `options.folder` → options, folder; `timeout` → no name. */
export function split(field: string): [Part, string | undefined] {
  const [part, ...rest] = field.split('.');
  return part === 'options' || part === 'resources'
    ? [part, rest.length > 0 ? rest.join('.') : undefined]
    : ['options', undefined];
}

/** What the server has for the options of an app, or for the resources of `spawner`. */
function beginning(form: IForm, spawner?: string): IBeginning {
  const part: Part = spawner === undefined ? 'options' : 'resources';
  const { values } = form;
  const own =
    spawner === undefined ? values.options : (values.resources[spawner] ?? {});
  const sources: { [name: string]: Layer } = {};
  if (spawner !== undefined && spawner !== values.spawner) {
    // The server tells the sources for the usual spawner. Of others it is known only that these
    // values count.
    Object.keys(own).forEach(name => (sources[name] = 'project'));
    return { values: own, sources };
  }
  for (const [field, layer] of Object.entries(form.sources)) {
    const [owner, name] = split(field);
    if (name !== undefined && owner === part) {
      sources[name] = layer;
    }
  }
  return { values: own, sources };
}
