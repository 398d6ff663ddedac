/** What the launch dialog knows and does, without anything that can be seen. */

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Signal, type ISignal } from '@lumino/signaling';
import type {
  IForm,
  IRequestProblem,
  ISession,
  ISessionsModel,
  ISpawner,
  IStartRequest,
  Layer
} from '../tokens';
import { Choices, split, type IInitial, type Part } from './choices';
import type { Fieldset } from './fieldset';
import { asSentence, isWithin, place, type IPlaced, type IProblem } from './problems';
import type { Values } from './rules';
import type { ITimeLimit } from './timelimit';

export interface ILaunchOptions {
  model: ISessionsModel;
  /** What `GET apps/{name}/form` answered. */
  form: IForm;
  trans: TranslationBundle;
  /** Typed already: wins over the form's values. */
  initial?: IInitial;
  /** The file that it is started for. */
  file?: string;
  /** Turns Markdown of strangers into something to be looked at; absent if nothing here can. */
  rendermime?: IRenderMimeRegistry;
}

export class LaunchState {
  constructor(options: ILaunchOptions) {
    const { model, form, trans, initial = {}, file } = options;
    this.model = model;
    this.trans = trans;
    this.file = file;
    this.rendermime = options.rendermime;
    this._form = form;
    this._choices = new Choices(form, initial);
    this._asked = {
      folder: initial.cwd ?? form.values.cwd,
      spawner: form.values.spawner
    };
    void this._keepUp();
  }

  readonly model: ISessionsModel;
  readonly trans: TranslationBundle;
  readonly file: string | undefined;
  readonly rendermime: IRenderMimeRegistry | undefined;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** How often a start came to nothing: each time, people should look at what is wrong. */
  get failures(): number {
    return this._failures;
  }

  get form(): IForm {
    return this._form;
  }

  /**
   * What is written about the app, as Markdown.
   *
   * @throws RequestProblem
   */
  readme(): Promise<string> {
    return this.model.transport.readme(this._form.app.name, this._project);
  }

  /** What has been started, once it has. */
  get session(): ISession | null {
    return this._session;
  }

  /** A start is on its way. */
  get isBusy(): boolean {
    return this._isBusy;
  }

  /** What cannot be said at any field; empty if there is nothing. */
  get problem(): string {
    return this._problem;
  }

  // The fields ------------------------------------------------------------------------------

  get name(): string {
    return this._choices.name;
  }
  set name(name: string) {
    this._choices.name = name;
    this._edited('name');
  }

  /** The folder to start in, relative to the server's root folder or absolute. */
  get folder(): string {
    return this._choices.folder;
  }
  set folder(folder: string) {
    this._choices.folder = folder;
    this._edited('cwd');
  }

  /** The host that it will run on, if that has files of its own. */
  get elsewhere(): string | undefined {
    return this._choices.elsewhere;
  }

  get spawner(): ISpawner | undefined {
    return this._choices.spawner;
  }
  set spawner(spawner: ISpawner | undefined) {
    this._choices.spawner = spawner;
    this._edited('spawner');
    void this._keepUp();
  }

  get timeLimit(): ITimeLimit {
    return this._choices.timeLimit;
  }
  set timeLimit(limit: ITimeLimit) {
    this._choices.timeLimit = limit;
    this._edited('timeout');
  }

  /** The app's options, or the resources of the chosen spawner. */
  fields(part: Part): Fieldset {
    return this._choices.fields(part);
  }

  /** The form of `part` holds `values`. `field`: see `Fieldset.change`. */
  change(part: Part, values: Values, field: string | null | undefined): void {
    this.fields(part).change(values, field);
    if (field === undefined) {
      this._changed.emit();
    } else {
      this._edited(field === null ? part : `${part}.${field}`);
    }
  }

  /** Whose value a field has, if it is neither the app's nor typed. */
  source(field: string): Layer | undefined {
    return this._choices.source(field);
  }

  /** Whether there is a value of its own to go back to. */
  hasDefault(field: string): boolean {
    const [part, name] = split(field);
    return name === undefined || this.fields(part).hasDefault(name);
  }

  /** Give a field the value that it has when nobody chooses. */
  reset(field: string): void {
    const [part, name] = split(field);
    if (name !== undefined) {
      this.fields(part).reset(name);
    } else if (field === 'spawner' || field === 'timeout') {
      this._choices.reset(field);
    }
    this._edited(field);
    void this._keepUp();
  }

  /** People have written a folder. */
  leaveFolder(): Promise<void> {
    return this._keepUp();
  }

  /**
   * Ask again what the fields begin with, if the folder is another one: so may be its project; or
   * if the spawner is, and there are choices that were found out for it.
   */
  private async _keepUp(): Promise<void> {
    const before = this._asked;
    const { elsewhere, hasFoundChoices } = this._choices;
    const asked = {
      // Projects are looked for among the server's files.
      folder: elsewhere === undefined ? this.folder : before.folder,
      spawner: hasFoundChoices ? (this.spawner?.name ?? '') : before.spawner
    };
    if (asked.folder === before.folder && asked.spawner === before.spawner) {
      return;
    }
    this._asked = asked;
    try {
      const form = await this.model.transport.form(
        this._form.app.name,
        asked.folder,
        hasFoundChoices ? asked.spawner : undefined
      );
      if (this._asked === asked && !this._isDisposed) {
        this._form = form;
        this._choices.begin(form);
        this._problem = '';
        this._changed.emit();
      }
    } catch (error) {
      if (this._asked === asked && !this._isDisposed) {
        this._asked = before; // to be asked again
        this._take(error as IRequestProblem);
        this._changed.emit();
      }
    }
  }

  // Presets ---------------------------------------------------------------------------------

  get presets(): readonly string[] {
    return Object.keys(this._form.presets).sort((a, b) => a.localeCompare(b));
  }

  /** The preset that was chosen; empty if none. */
  get preset(): string {
    return this._preset;
  }
  set preset(name: string) {
    this._preset = name;
    this._choices.replace(this._form.presets[name] ?? null);
    this._problems = [];
    this._problem = '';
    this._attempted = false;
    this._changed.emit();
    void this._keepUp();
  }

  /**
   * Keep what is chosen now under `name`.
   *
   * @throws RequestProblem
   */
  async savePreset(name: string): Promise<void> {
    const choices = this._choices.given;
    await this.model.transport.savePreset(
      this._form.app.name,
      name,
      choices,
      this._project
    );
    this._preset = name;
    this._setPresets({ ...this._form.presets, [name]: choices });
  }

  /**
   * Delete the chosen preset. The fields stay as they are.
   *
   * @throws RequestProblem
   */
  async deletePreset(): Promise<void> {
    const name = this._preset;
    await this.model.transport.deletePreset(this._form.app.name, name, this._project);
    this._preset = '';
    this._setPresets(
      Object.fromEntries(
        Object.entries(this._form.presets).filter(([key]) => key !== name)
      )
    );
  }

  // What is wrong ---------------------------------------------------------------------------

  /** Whether the folded section is open. */
  get isUnfolded(): boolean {
    return this._isUnfolded;
  }
  set isUnfolded(unfolded: boolean) {
    this._isUnfolded = unfolded;
    this._changed.emit();
  }

  /** A field is on the page, until it is `hidden`: so problems can be shown there. */
  show(field: string): void {
    this._shown.add(field);
  }
  hide(field: string): void {
    this._shown.delete(field);
  }

  /** All that is wrong, where it is shown. */
  get problems(): IPlaced {
    return place(
      [...(this._attempted ? this._choices.check(this.trans) : []), ...this._problems],
      this._shown
    );
  }

  // The start -------------------------------------------------------------------------------

  /** What the server is asked for. */
  get request(): IStartRequest {
    const { request } = this._choices;
    return this.file === undefined ? request : { ...request, file: this.file };
  }

  /**
   * Start what is chosen, if nothing is wrong with it.
   *
   * @returns whether it has been started; if not, `problem` and `problems` say why
   */
  async start(): Promise<boolean> {
    if (this._isBusy || this._session) {
      return false;
    }
    this._attempted = true;
    this._problems = [];
    this._problem = '';
    const wrong = this._choices.check(this.trans);
    if (wrong.length > 0) {
      this._reveal(wrong);
      return false;
    }
    this._isBusy = true;
    this._changed.emit();
    try {
      const remembered = this._choices.chosen;
      const session = await this.model.start(this.request);
      if (this._isDisposed) {
        // People changed their mind while it was on its way.
        await this.model.forget(session.id);
        return false;
      }
      this._session = session;
      // Not worth a word if it fails: only the next form has less in it.
      this.model.transport
        .remember(this._form.app.name, remembered, this._project)
        .catch(() => undefined);
      return true;
    } catch (error) {
      if (!this._isDisposed) {
        this._take(error as IRequestProblem);
        this._reveal(this._problems);
      }
      return false;
    } finally {
      this._isBusy = false;
      this._changed.emit();
    }
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  // ------------------------------------------------------------------------------------------

  /** The folder of the project that the app is from, if it is a project's. */
  private get _project(): string | undefined {
    return this._form.app.project?.folder;
  }

  private _setPresets(presets: IForm['presets']): void {
    this._form = { ...this._form, presets };
    this._changed.emit();
  }

  /** A request did not go well. Nothing that was typed is lost. */
  private _take(error: IRequestProblem): void {
    const { trans } = this;
    if (error.status === 0) {
      this._problem = trans.__(
        'The server did not answer (%1). Nothing was lost: try again.',
        error.message
      );
    } else {
      this._problems = error.errors.map(({ field, message }) => ({
        field,
        message: asSentence(message)
      }));
      this._problem = this._problems.length > 0 ? '' : asSentence(error.message);
    }
  }

  private _reveal(problems: readonly IProblem[]): void {
    if (problems.some(({ field }) => this._choices.isFolded(field))) {
      this._isUnfolded = true;
    }
    this._failures++;
    this._changed.emit();
  }

  /** People have changed `field`: what the server said of it may be true no more. */
  private _edited(field: string): void {
    this._problems = this._problems.filter(each => !isWithin(each.field, field));
    this._problem = '';
    this._changed.emit();
  }

  private _form: IForm;
  private _session: ISession | null = null;
  private _isBusy = false;
  private _isDisposed = false;
  private _attempted = false;
  private _isUnfolded = false;
  private _failures = 0;
  private _problem = '';
  /** What the server said is wrong. */
  private _problems: readonly IProblem[] = [];
  private _preset = '';
  /** What the last question was about. */
  private _asked: { readonly folder: string; readonly spawner: string };
  private readonly _choices: Choices;
  private readonly _shown = new Set<string>();
  private readonly _changed = new Signal<this, void>(this);
}
