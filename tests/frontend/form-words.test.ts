import { nullTranslator } from '@jupyterlab/translation';
import type { JSONObject } from '@lumino/coreutils';
import { describe, expect, it } from 'vitest';
import {
  asSentence,
  explain,
  isWithin,
  place
} from '../../labextension/src/form/problems';
import {
  describe as said,
  humanize,
  itemLabel,
  labelOf
} from '../../labextension/src/form/labels';
import { Rules, type Values } from '../../labextension/src/form/rules';
import {
  timeLimitProblem,
  toSeconds,
  toTimeLimit,
  words
} from '../../labextension/src/form/timelimit';

const trans = nullTranslator.load('jupyter_sessions');

function explained(property: JSONObject, value: Values[string]): string[] {
  const rules = new Rules({ properties: { x: property } });
  return explain(rules.refusals({ x: value }), 'options', trans).map(
    ({ field, message }) => `${field} ${message}`
  );
}

describe('what stands below a control', () => {
  it.each([
    [{}, ''],
    [{ type: 'string', description: 'Which.', maximum: 3 }, 'Which.'],
    [{ type: 'integer', maximum: 8 }, 'At most 8.'],
    [
      { type: 'number', description: 'Gigabytes.', maximum: 3.999 },
      'Gigabytes. At most 3.99.'
    ],
    [{ type: 'number', minimum: 2 }, '']
  ])('%j: %s', (schema, expected) => {
    expect(said(schema, trans)).toBe(expected);
  });
});

describe('sentences', () => {
  it.each<[JSONObject, Values[string], string]>([
    [{ type: 'integer' }, 1.5, 'options.x Give a whole number.'],
    [{ type: 'number' }, 'a', 'options.x Give a number.'],
    [{ minimum: 1, maximum: 4 }, 9, 'options.x Give a number from 1 to 4.'],
    [{ minimum: 1 }, 0, 'options.x Give 1 or more.'],
    [{ maximum: 4 }, 9, 'options.x Give 4 or less.'],
    [{ exclusiveMinimum: 0 }, 0, 'options.x Give more than 0.'],
    [{ multipleOf: 2 }, 3, 'options.x Give a multiple of 2.'],
    [{ minLength: 1 }, '', 'options.x This must not be empty.'],
    [{ minLength: 3 }, 'a', 'options.x Give at least 3 characters.'],
    [{ pattern: '^a$' }, 'b', 'options.x This does not fit the pattern ^a$'],
    [
      { pattern: '^a$', description: 'An a.' },
      'b',
      'options.x This does not have the right form.'
    ],
    [{ enum: ['a', 'b'] }, 'c', 'options.x Choose one of: a, b.'],
    [
      { oneOf: [{ const: 'a', title: 'First' }, { const: 'b' }] },
      'c',
      'options.x Choose one of: First, b.'
    ],
    [{ items: { type: 'string' } }, [null], 'options.x.0 Fill this in, or remove it.'],
    [{ uniqueItems: true }, [1, 1], 'options.x No value may be there twice.'],
    [{ maxItems: 1 }, [1, 2], 'options.x Give at most 1 value.'],
    [{ properties: { y: { const: 1 } } }, { y: 2 }, 'options.x.y This has to be 1.'],
    [
      { anyOf: [{ type: 'integer' }, { const: 'auto' }] },
      'b',
      'options.x This fits none of the alternatives, or more than one.'
    ]
  ])('%j refuses %j', (property, value, sentence) => {
    expect(explained(property, value)).toEqual([sentence]);
  });

  it('puts what is missing at the field that is missing', () => {
    const rules = new Rules({ required: ['a'], properties: { a: {} } });
    expect(explain(rules.refusals({}), 'resources', trans)).toEqual([
      { field: 'resources.a', message: 'This is required.' }
    ]);
  });

  it('says once what a rule asks for, and not that there is a rule', () => {
    const rules = new Rules({
      allOf: [{ if: {}, then: { required: ['a'], properties: { a: {} } } }],
      required: ['a']
    });
    expect(explain(rules.refusals({}), 'options', trans)).toEqual([
      { field: 'options.a', message: 'This is required.' }
    ]);
  });

  it('makes sentences of the server’s', () => {
    expect(asSentence('this is required')).toBe('This is required.');
    expect(asSentence('Is it?')).toBe('Is it?');
  });

  it('makes words of names', () => {
    expect(humanize('window_manager')).toBe('Window manager');
    expect(labelOf('window_manager', 'options.window_manager')).toBe('Window manager');
    expect(labelOf('Desktop', 'options.window_manager')).toBe('Desktop');
    expect(itemLabel('tags-2', 'options.tags.1')).toBe('Tags 2');
    expect(itemLabel('My tags-1', 'options.tags.0')).toBe('My tags 1');
  });
});

describe('place', () => {
  const shown = new Set(['timeout', 'options.list', 'options.list.0', 'options.more']);

  it.each([
    ['timeout', 'timeout'],
    ['options.list.0', 'options.list.0'],
    ['options.list[0]', 'options.list.0'],
    ['options.list.4', 'options.list'],
    ['options.more.deep.er', 'options.more']
  ])('shows %s at %s', (field, where) => {
    const { at, rest } = place([{ field, message: 'm' }], shown);
    expect([...at]).toEqual([[where, ['m']]]);
    expect(rest).toEqual([]);
  });

  it('keeps what has no field', () => {
    const problem = { field: 'options.hidden', message: 'm' };
    expect(place([problem], shown)).toEqual({ at: new Map(), rest: [problem] });
  });

  it('knows parts', () => {
    expect(isWithin('options.a.b', 'options.a')).toBe(true);
    expect(isWithin('options.ab', 'options.a')).toBe(false);
  });
});

describe('time limits', () => {
  it.each([
    [null, { amount: '', unit: 'none' }],
    [60, { amount: '1', unit: 'minutes' }],
    [5_400, { amount: '90', unit: 'minutes' }],
    [7_200, { amount: '2', unit: 'hours' }],
    [172_800, { amount: '2', unit: 'days' }],
    [90, { amount: '1.5', unit: 'minutes' }]
  ] as const)('%s seconds are %j', (seconds, limit) => {
    expect(toTimeLimit(seconds)).toEqual(limit);
    expect(toSeconds(limit)).toBe(seconds);
  });

  it('takes a comma', () => {
    expect(toSeconds({ amount: '1,5', unit: 'hours' })).toBe(5_400);
  });

  it.each([
    [{ amount: '', unit: 'hours' }, null, 'Give a number above 0.'],
    [{ amount: '-1', unit: 'hours' }, null, 'Give a number above 0.'],
    [{ amount: 'x', unit: 'days' }, null, 'Give a number above 0.'],
    [{ amount: '9', unit: 'hours' }, 28_800, 'The most that is allowed is 8 hours.'],
    [{ amount: '5000', unit: 'days' }, null, 'That is too long.'],
    [
      { amount: '', unit: 'none' },
      3_600,
      'A time limit is required here: at most 1 hour.'
    ],
    [{ amount: '8', unit: 'hours' }, 28_800, ''],
    [{ amount: '', unit: 'none' }, null, '']
  ] as const)('of %j with at most %s: %s', (limit, maximum, problem) => {
    expect(timeLimitProblem(limit, maximum, trans)).toBe(problem);
  });

  it('reads well', () => {
    expect(words(60, trans)).toBe('1 minute');
    expect(words(172_800, trans)).toBe('2 days');
  });
});
