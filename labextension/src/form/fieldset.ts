/** The values of one object of options, and where each comes from. Pure. */

import { JSONExt, type JSONObject } from '@lumino/coreutils';
import type { Layer } from '../tokens';
import { Rules, isNothing, withoutHoles, type Refusal, type Values } from './rules';

/** What the server says the fields begin with. */
export interface IBeginning {
  values: JSONObject;
  /** The layer of each value. Not here: the app. */
  sources: { readonly [name: string]: Layer };
}

/**
 * The options of an app, or the resources of a spawner, as a form shows them.
 *
 * What people typed is kept while a field does not apply, and is there again when it does; it is
 * not sent meanwhile.
 */
export class Fieldset {
  constructor(
    schema: JSONObject,
    private _beginning: IBeginning,
    typed: JSONObject = {}
  ) {
    this.rules = new Rules(schema);
    this.type(typed);
  }

  readonly rules: Rules;

  /** Its folder and file are another host's: what the server would fill in is not known here. */
  isElsewhere = false;

  /** What the form shows. */
  get shown(): Values {
    return this._settled('all');
  }

  /** What is sent: of the fields that apply, those that have a value. */
  get values(): JSONObject {
    return withoutHoles(this._settled('fitting'));
  }

  /** What is sent, without what the server fills in by itself: the folder and the file. */
  get given(): JSONObject {
    return this._some(
      name =>
        !this._fromPlace(name) ||
        name in this._typed ||
        this._layered(name) !== undefined
    );
  }

  /** What somebody chose, now or the last time: worth remembering. */
  get chosen(): JSONObject {
    return this._some(
      name =>
        !this._fromPlace(name) &&
        (name in this._typed || this._beginning.sources[name] === 'remembered')
    );
  }

  /** What is wrong with `values`. What the server fills in may be missing. */
  get refusals(): Refusal[] {
    return this.rules
      .refusals(this.values)
      .filter(({ params }) => !this._fromPlace(String(params['missingProperty'])));
  }

  /** The server says other things now; what was typed stays. */
  begin(beginning: IBeginning): void {
    this._beginning = beginning;
  }

  /** Replace all that was typed. */
  type(values: JSONObject): void {
    this._dropped.clear();
    this._typed = {};
    for (const [name, value] of Object.entries(values)) {
      const schema = this.rules.declared.get(name);
      if (schema && !isNothing(value, schema) && schema['x-fixed'] !== true) {
        this._typed[name] = value;
      }
    }
  }

  /**
   * The form holds `values` now.
   *
   * @param field the option that people have changed. null: they chose another alternative, which
   * changes any number of them. undefined: nobody did anything; the form filled something in.
   */
  change(values: Values, field: string | null | undefined): void {
    const before = this.shown;
    if (typeof field === 'string') {
      this._typed[field] = values[field];
      return;
    }
    for (const [name, value] of Object.entries(values)) {
      if (equal(value, before[name])) {
        continue;
      }
      if (field === null || name in before) {
        this._typed[name] = value;
        this._dropped.delete(name);
      } else {
        this._filled[name] = value;
      }
    }
    for (const name of field === null ? Object.keys(before) : []) {
      if (values[name] === undefined) {
        this._forget(name);
      }
    }
  }

  /** Give an option the value that the app has for it. */
  reset(name: string): void {
    const value = this._default(name, this._applying().get(name) ?? {});
    this._forget(name);
    if (value !== undefined && !this._fromPlace(name)) {
      this._typed[name] = value;
    }
  }

  /** Whether a value is somebody's from before, and not what the app has. */
  source(name: string): Layer | undefined {
    const layer = this._beginning.sources[name];
    if (layer === undefined || layer === 'app' || name in this._typed) {
      return undefined;
    }
    const value = this._layered(name);
    const usual = this._default(name, this._applying().get(name) ?? {});
    return value === undefined || equal(value, usual) ? undefined : layer;
  }

  /** Whether there is a value to go back to, other than none. */
  hasDefault(name: string): boolean {
    const schema = this._applying().get(name);
    return this._fromPlace(name) || schema?.['default'] !== undefined;
  }

  /** Whether a field is folded away at first. */
  isAdvanced(name: string): boolean {
    return this.rules.declared.get(name)?.['x-advanced'] === true;
  }

  private _applying(): Map<string, JSONObject> {
    return this.rules.applying(this.shown, 'all');
  }

  private _settled(alternatives: 'all' | 'fitting'): Values {
    const emptied: Values = {};
    const values = this.rules.settle((name, schema, usual) => {
      if (name in this._typed) {
        const typed = this._typed[name];
        if (typed === undefined) {
          emptied[name] = undefined;
        }
        return typed;
      }
      return (
        this._layered(name) ??
        (usual ? this._default(name, schema) : undefined) ??
        this._filled[name]
      );
    }, alternatives);
    // An emptied field stays empty: its default does not come back while people type.
    return { ...emptied, ...values };
  }

  private _layered(name: string): Values[string] {
    const layer = this._beginning.sources[name];
    if (layer === undefined || layer === 'app' || this._dropped.has(name)) {
      return undefined;
    }
    return this._begun(name);
  }

  private _default(name: string, schema: JSONObject): Values[string] {
    if (schema['default'] !== undefined && !this._fromPlace(name)) {
      return schema['default'];
    }
    const layer = this._beginning.sources[name];
    return layer === undefined || layer === 'app' ? this._begun(name) : undefined;
  }

  private _begun(name: string): Values[string] {
    const layer = this._beginning.sources[name];
    const isApps = layer === undefined || layer === 'app';
    if (this.isElsewhere && isApps && this._fromPlace(name)) {
      return undefined;
    }
    const value = this._beginning.values[name];
    const schema = this.rules.declared.get(name);
    return schema && isNothing(value, schema) ? undefined : value;
  }

  private _fromPlace(name: string): boolean {
    return this.rules.declared.get(name)?.['x-default-from'] !== undefined;
  }

  private _some(wanted: (name: string) => boolean): JSONObject {
    return Object.fromEntries(
      Object.entries(this.values).filter(([name]) => wanted(name))
    );
  }

  private _forget(name: string): void {
    this._typed = without(this._typed, name);
    this._filled = without(this._filled, name);
    this._dropped.add(name);
  }

  private _typed: Values = {};
  /** What the form filled in by itself: defaults inside of objects. */
  private _filled: Values = {};
  /** Layers that people have set aside. */
  private readonly _dropped = new Set<string>();
}

function without(values: Values, name: string): Values {
  return Object.fromEntries(Object.entries(values).filter(([key]) => key !== name));
}

function equal(a: Values[string], b: Values[string]): boolean {
  return a === undefined || b === undefined ? a === b : JSONExt.deepEqual(a, b);
}
