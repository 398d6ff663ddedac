/** What is wrong, as sentences, each at its field. Pure. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSONObject, JSONValue } from '@lumino/coreutils';
import type { Refusal } from './rules';

/** A field is named as the server names it: `timeout`, `options.folder`, `options.list.0`. */
export interface IProblem {
  readonly field: string;
  readonly message: string;
}

/** How many choices a sentence lists. */
const LISTED = 12;

/**
 * What a schema refuses, in words.
 *
 * @param prefix what the object is called: `options`, `resources`
 */
export function explain(
  refusals: readonly Refusal[],
  prefix: string,
  trans: TranslationBundle
): IProblem[] {
  const found = refusals
    .filter(refusal => refusal.keyword !== 'if') // what it asks for is a refusal of its own
    .map(refusal => ({
      field: fieldOf(refusal, prefix),
      message: sentence(refusal, trans)
    }));
  const known = new Set<string>();
  return found.filter(({ field, message }) => {
    const key = `${field}\n${message}`;
    return known.has(key) ? false : known.add(key);
  });
}

/** The server's sentences begin in lower case, as they follow a name on a command line. */
export function asSentence(message: string): string {
  const text = message.trim();
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…)]$/.test(whole) ? whole : `${whole}.`;
}

/** Problems by the field at which they are shown, and those for which there is none. */
export interface IPlaced {
  readonly at: ReadonlyMap<string, readonly string[]>;
  readonly rest: readonly IProblem[];
}

/**
 * Each problem at its field; if that cannot be seen, at the one that it is a part of.
 *
 * @param shown the fields that people see
 */
export function place(
  problems: readonly IProblem[],
  shown: ReadonlySet<string>
): IPlaced {
  const at = new Map<string, string[]>();
  const rest: IProblem[] = [];
  for (const problem of problems) {
    const field = nearest(problem.field, shown);
    if (field === undefined) {
      rest.push(problem);
    } else {
      at.set(field, [...(at.get(field) ?? []), problem.message]);
    }
  }
  return { at, rest };
}

/** Whether `field` is `whole` or a part of it. */
export function isWithin(field: string, whole: string): boolean {
  return field === whole || field.startsWith(`${whole}.`);
}

function nearest(field: string, shown: ReadonlySet<string>): string | undefined {
  // Some servers write list[0].
  let path = field.replaceAll(/\[(\d+)\]/g, '.$1');
  for (;;) {
    if (shown.has(path)) {
      return path;
    }
    const end = path.lastIndexOf('.');
    if (end < 0) {
      return undefined;
    }
    path = path.slice(0, end);
  }
}

function fieldOf(refusal: Refusal, prefix: string): string {
  const parts = refusal.instancePath
    .split('/')
    .slice(1)
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const { missingProperty, additionalProperty, unevaluatedProperty } =
    refusal.params as { [name: string]: string | undefined };
  const more = missingProperty ?? additionalProperty ?? unevaluatedProperty;
  return [prefix, ...parts, ...(more === undefined ? [] : [more])].join('.');
}

function sentence(refusal: Refusal, trans: TranslationBundle): string {
  const schema = (refusal.parentSchema ?? {}) as JSONObject;
  const limit = shownValue(refusal.schema as JSONValue);
  switch (refusal.keyword) {
    case 'required':
    case 'dependentRequired':
    case 'dependencies':
      return trans.__('This is required.');
    case 'type':
      return refusal.data === null || refusal.data === undefined // a row not filled in
        ? trans.__('Fill this in, or remove it.')
        : kind(schema['type'], trans);
    case 'enum':
      return choose(refusal.schema as JSONValue[], trans);
    case 'const':
      return trans.__('This has to be %1.', limit);
    case 'minimum':
    case 'maximum':
      return schema['minimum'] !== undefined && schema['maximum'] !== undefined
        ? trans.__(
            'Give a number from %1 to %2.',
            shownValue(schema['minimum']),
            shownValue(schema['maximum'])
          )
        : refusal.keyword === 'minimum'
          ? trans.__('Give %1 or more.', limit)
          : trans.__('Give %1 or less.', limit);
    case 'exclusiveMinimum':
      return trans.__('Give more than %1.', limit);
    case 'exclusiveMaximum':
      return trans.__('Give less than %1.', limit);
    case 'multipleOf':
      return trans.__('Give a multiple of %1.', limit);
    case 'minLength':
      return refusal.schema === 1
        ? trans.__('This must not be empty.')
        : trans.__('Give at least %1 characters.', limit);
    case 'maxLength':
      return trans.__('Give at most %1 characters.', limit);
    case 'minItems':
      return trans._n(
        'Give at least %1 value.',
        'Give at least %1 values.',
        Number(refusal.schema),
        limit
      );
    case 'maxItems':
      return trans._n(
        'Give at most %1 value.',
        'Give at most %1 values.',
        Number(refusal.schema),
        limit
      );
    case 'uniqueItems':
      return trans.__('No value may be there twice.');
    case 'pattern':
      // The description, if any, is shown beside the field and says what is expected.
      return schema['description']
        ? trans.__('This does not have the right form.')
        : trans.__('This does not fit the pattern %1', limit);
    case 'oneOf':
    case 'anyOf':
      return alternatives(refusal.schema as JSONValue[], trans);
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return trans.__('There is no such field.');
    case 'not':
      return trans.__('This is not allowed.');
    default:
      return asSentence(refusal.message ?? trans.__('This is not allowed.'));
  }
}

function kind(type: JSONValue | undefined, trans: TranslationBundle): string {
  switch ([type].flat()[0]) {
    case 'integer':
      return trans.__('Give a whole number.');
    case 'number':
      return trans.__('Give a number.');
    case 'array':
      return trans.__('Give a list.');
    default:
      return trans.__('Give a text.');
  }
}

function choose(choices: readonly JSONValue[], trans: TranslationBundle): string {
  const words = choices.slice(0, LISTED).map(shownValue).join(', ');
  return choices.length > LISTED
    ? trans.__('Choose one of: %1, …', words)
    : trans.__('Choose one of: %1.', words);
}

/** Choices with titles are a `oneOf` of constants. */
function alternatives(
  branches: readonly JSONValue[],
  trans: TranslationBundle
): string {
  const titles = branches.map(branch => {
    const { title, const: value } = branch as { title?: string; const?: JSONValue };
    return value === undefined ? undefined : (title ?? value);
  });
  return titles.every(title => title !== undefined)
    ? choose(titles, trans)
    : trans.__('This fits none of the alternatives, or more than one.');
}

function shownValue(value: JSONValue): string {
  return typeof value === 'string' && value !== '' ? value : JSON.stringify(value);
}
