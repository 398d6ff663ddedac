/**
 * What a JSON Schema with rules says about one object of options. Pure.
 *
 * A property that a subschema declares (`then`, `dependentSchemas`, an alternative of `oneOf`, …)
 * is an option that *applies* while the subschema holds. `jupyter_sessions/options.py` judges in
 * the same way; what is sent has to be what it expects.
 */

import { JSONExt, type JSONObject, type PartialJSONObject } from '@lumino/coreutils';
import type { RJSFSchema } from '@rjsf/utils';
import { customizeValidator } from '@rjsf/validator-ajv8';
import type { ErrorObject } from 'ajv';
import Ajv2020 from 'ajv/dist/2020';

/** Values by name; undefined is a field that has been emptied. */
export type Values = PartialJSONObject;

/**
 * Which alternatives of `oneOf` and `anyOf` count: `all` for a form, in which people have yet to
 * choose one; `fitting` for what is sent: those that hold, or the one that comes closest.
 */
export type Alternatives = 'none' | 'all' | 'fitting';

/** A value that the schema refuses. */
export type Refusal = ErrorObject;

/** Gives those subschemas, of the ones that hold under a condition, that somebody wants. */
type Conditional = (schema: JSONObject) => unknown[];

/** Draft 2020-12 is meant anyway. */
const SET_ASIDE = new Set(['$schema', 'additionalProperties', 'unevaluatedProperties']);

/** Deeper rules contain themselves. */
const DEEPEST = 40;

const EVERY: Conditional = schema => [
  ...('if' in schema ? [schema['then'], schema['else']] : []),
  ...Object.values(objectOf(schema['dependentSchemas'])),
  ...alternatives(schema).flat()
];

const NONE: Conditional = () => [];

export class Rules {
  /**
   * @param schema of an object. What it says at its top about additional properties is left
   * aside: what is declared nowhere is never given.
   */
  constructor(schema: JSONObject) {
    const rest = Object.entries(schema).filter(([key]) => !SET_ASIDE.has(key));
    this.schema = { type: 'object', properties: {}, ...Object.fromEntries(rest) };
    this.rendered = forRendering(this.schema) as RJSFSchema;
    // One validator each: it keeps what `$ref` may refer to.
    this.validator = customizeValidator({
      AjvClass: Ajv2020,
      // As on the server, formats are remarks. What Ajv cannot read, the server has to judge.
      ajvOptionsOverrides: { validateFormats: false, logger: false }
    });
    this.declared = merged(this._declarations(EVERY));
    this._arrange(this.schema, undefined, 0);
  }

  readonly schema: JSONObject;
  /** The same for rjsf, which knows rules by the names of older drafts. */
  readonly rendered: RJSFSchema;
  readonly validator: ReturnType<typeof customizeValidator>;
  /** The names of all options as a form has them: those of a rule follow what the rule is about. */
  get order(): readonly string[] {
    return this._order;
  }
  /** All options by name, those of rules included. */
  readonly declared: ReadonlyMap<string, JSONObject>;

  /**
   * What there is to choose once `pick` has filled in all that applies.
   *
   * What is filled in may switch a rule, which brings further fields: so again, until nothing new
   * comes.
   *
   * @param pick the value of an option, undefined if it has none; `usual`: its default counts.
   * In a form it does not for what only an alternative declares, which may not be the chosen one.
   */
  settle(
    pick: (name: string, schema: JSONObject, usual: boolean) => Values[string],
    alternatives: 'all' | 'fitting'
  ): Values {
    const fill = (conditional: Conditional, certain: ReadonlyMap<string, unknown>) => {
      const found: Values = {};
      for (const [name, schema] of merged(this._declarations(conditional))) {
        const value = pick(name, schema, certain.has(name));
        if (value !== undefined) {
          found[name] = value;
        }
      }
      return found;
    };
    let values = fill(NONE, this.declared);
    for (let round = 0; round <= this.declared.size; round++) {
      const next = fill(
        this._holding(values, alternatives),
        alternatives === 'all' ? this.applying(values, 'none') : this.declared
      );
      if (JSONExt.deepEqual(next, values)) {
        break;
      }
      values = next;
    }
    return values;
  }

  /** The options that apply to `values`, by name. */
  applying(values: Values, alternatives: Alternatives): Map<string, JSONObject> {
    return merged(this._declarations(this._holding(values, alternatives)));
  }

  /**
   * What is wrong with `values`. Nothing, if the schema is beyond what runs in a browser: then the
   * server alone judges.
   */
  refusals(values: Values): Refusal[] {
    const found = this._errors(this.schema, values);
    return found.flatMap(error => {
      if (/\/(oneOf|anyOf)\//.test(error.schemaPath)) {
        return []; // below an alternative: said once, below
      }
      if (error.keyword !== 'oneOf' && error.keyword !== 'anyOf') {
        return [error];
      }
      const branches = error.schema as unknown[];
      const data = error.data as Values;
      const meant = this._meant(branches, data);
      if (error.instancePath !== '' || !meant) {
        return [error];
      }
      const below = this._errors(this._whole(meant), data);
      return below.length > 0 ? below : [error];
    });
  }

  // Subschemas that speak of the same object ------------------------------------------------

  /** What `properties` declare, outermost first: a later one is the more special one. */
  private *_declarations(conditional: Conditional): Iterable<[string, JSONObject]> {
    for (const schema of this._parts(this.schema, conditional, 0)) {
      for (const [name, declared] of Object.entries(objectOf(schema['properties']))) {
        const own = objectOf(declared);
        yield [name, { ...objectOf(this._resolve(own['$ref'])), ...own }];
      }
    }
  }

  /** `schema`, its subschemas that hold always, and those that `conditional` gives. */
  private *_parts(
    schema: unknown,
    conditional: Conditional,
    depth: number
  ): Iterable<JSONObject> {
    if (!isObject(schema) || depth > DEEPEST) {
      return;
    }
    yield schema;
    const always = Array.isArray(schema['allOf']) ? schema['allOf'] : [];
    const below = [this._resolve(schema['$ref']), ...always, ...conditional(schema)];
    for (const part of below) {
      yield* this._parts(part, conditional, depth + 1);
    }
  }

  /** Put what `schema` declares in order: behind the option called `anchor`, or at the end. */
  private _arrange(schema: unknown, anchor: string | undefined, depth: number): void {
    if (!isObject(schema) || depth > DEEPEST) {
      return;
    }
    const order = this._order;
    const fresh = Object.keys(objectOf(schema['properties'])).filter(
      name => !order.includes(name)
    );
    order.splice(
      anchor === undefined ? order.length : order.indexOf(anchor) + 1,
      0,
      ...fresh
    );
    const below = depth + 1;
    this._arrange(this._resolve(schema['$ref']), anchor, below);
    for (const part of Array.isArray(schema['allOf']) ? schema['allOf'] : []) {
      this._arrange(part, anchor, below);
    }
    if ('if' in schema) {
      const about = objectOf(schema['if']);
      const tested = [
        ...Object.keys(objectOf(about['properties'])),
        ...[about['required'] ?? []].flat()
      ].map(name => order.indexOf(name as string));
      const last = order[Math.max(-1, ...tested)] ?? anchor;
      this._arrange(schema['else'], last, below);
      this._arrange(schema['then'], last, below);
    }
    for (const [name, part] of Object.entries(objectOf(schema['dependentSchemas']))) {
      this._arrange(part, order.includes(name) ? name : anchor, below);
    }
    for (const part of alternatives(schema).flat()) {
      this._arrange(part, anchor, below);
    }
  }

  /** Those subschemas that hold for `values`. */
  private _holding(values: Values, which: Alternatives): Conditional {
    return schema => {
      const found: unknown[] = [];
      if ('if' in schema) {
        found.push(this._holds(schema['if'], values) ? schema['then'] : schema['else']);
      }
      for (const [name, part] of Object.entries(objectOf(schema['dependentSchemas']))) {
        if (values[name] !== undefined) {
          found.push(part);
        }
      }
      for (const branches of which === 'none' ? [] : alternatives(schema)) {
        const fit =
          which === 'all'
            ? branches
            : branches.filter(each => this._holds(each, values));
        // None fits: take that which is meant, so that its fields are sent.
        found.push(...(fit.length > 0 ? fit : [this._meant(branches, values)]));
      }
      return found;
    };
  }

  /**
   * Which of several alternatives was meant. One usually says what it is for by a `const` or an
   * `enum`: where those fit comes before fewer errors.
   */
  private _meant(branches: unknown[], values: Values): JSONObject | undefined {
    const ranked = branches.filter(isObject).map(branch => {
      const errors = this._errors(this._whole(branch), values);
      const tests = errors.filter(e => e.keyword === 'const' || e.keyword === 'enum');
      return { branch, rank: [tests.length, errors.length] as const };
    });
    ranked.sort((a, b) => a.rank[0] - b.rank[0] || a.rank[1] - b.rank[1]);
    return ranked[0]?.branch;
  }

  private _holds(schema: unknown, values: Values): boolean {
    return isObject(schema)
      ? this.validator.isValid(schema, withoutHoles(values), this.rendered)
      : schema !== false;
  }

  private _errors(schema: JSONObject, values: Values): Refusal[] {
    const answer = this.validator.rawValidation<ErrorObject>(
      schema,
      withoutHoles(values)
    );
    return answer.validationError ? [] : (answer.errors ?? []);
  }

  /** A subschema with what its `$ref`s may refer to. Always the same object for the same one. */
  private _whole(part: JSONObject): JSONObject {
    let whole = this._wholes.get(part);
    if (!whole) {
      const { $defs, definitions } = this.schema;
      whole = {
        ...($defs ? { $defs } : {}),
        ...(definitions ? { definitions } : {}),
        ...part
      };
      this._wholes.set(part, whole);
    }
    return whole;
  }

  /** What a `$ref` within this schema refers to. */
  private _resolve(ref: unknown): unknown {
    if (typeof ref !== 'string' || !ref.startsWith('#')) {
      return undefined;
    }
    let found: unknown = this.schema;
    for (const part of ref.slice(1).split('/').slice(1)) {
      const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
      found = (found as { [key: string]: unknown } | undefined)?.[key];
    }
    return found;
  }

  private readonly _order: string[] = [];
  private readonly _wholes = new WeakMap<JSONObject, JSONObject>();
}

/** Values without fields that have been emptied. */
export function withoutHoles(values: Values): JSONObject {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined)
  ) as JSONObject;
}

/** A `null` where the schema has no null stands for "no value". */
export function isNothing(value: Values[string], schema: JSONObject): boolean {
  if (value !== null) {
    return value === undefined;
  }
  const types = [schema['type']].flat();
  return types[0] !== undefined && !types.includes('null');
}

function alternatives(schema: JSONObject): unknown[][] {
  return [schema['anyOf'], schema['oneOf']].filter(Array.isArray);
}

/** One schema per name: what later ones say counts. */
function merged(declarations: Iterable<[string, JSONObject]>): Map<string, JSONObject> {
  const found = new Map<string, JSONObject>();
  for (const [name, schema] of declarations) {
    found.set(name, { ...found.get(name), ...schema });
  }
  return found;
}

/**
 * rjsf 5 knows `dependentSchemas` and `dependentRequired` as `dependencies`, which is what they
 * were before 2019. The result still has to be a schema of 2020: Ajv reads it, too.
 */
function forRendering(schema: unknown): unknown {
  if (Array.isArray(schema)) {
    return schema.map(forRendering);
  }
  if (!isObject(schema)) {
    return schema;
  }
  const { dependentSchemas, dependentRequired, ...rest } = schema;
  const rendered: { [key: string]: unknown } = {};
  for (const [key, value] of Object.entries(rest)) {
    rendered[key] = VALUES.has(key) ? value : forRendering(value);
  }
  if (schema['x-fixed'] === true) {
    rendered['readOnly'] = true;
  }
  const schemas = objectOf(dependentSchemas);
  const required = objectOf(dependentRequired);
  const names = new Set([...Object.keys(schemas), ...Object.keys(required)]);
  if (names.size > 0) {
    rendered['dependencies'] = Object.fromEntries(
      [...names].map(name => {
        const more = required[name];
        const part = schemas[name];
        if (part === undefined) {
          return [name, more];
        }
        const below = objectOf(forRendering(part));
        // rjsf looks for properties in it.
        return [
          name,
          more === undefined
            ? below
            : {
                ...below,
                required: [...[below['required'] ?? []].flat(), ...[more].flat()]
              }
        ];
      })
    );
  }
  return rendered;
}

/** Keywords that hold values, not schemas. */
const VALUES = new Set(['default', 'const', 'enum', 'examples']);

function isObject(value: unknown): value is JSONObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectOf(value: unknown): JSONObject {
  return isObject(value) ? value : {};
}
