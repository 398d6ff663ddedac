import type { JSONObject } from '@lumino/coreutils';
import { describe, expect, it } from 'vitest';
import { Fieldset } from '../../labextension/src/form/fieldset';
import { Rules } from '../../labextension/src/form/rules';
import type { Layer } from '../../labextension/src/tokens';

/** An app that may use GPUs, of which a big one needs an account. */
const GPU: JSONObject = {
  type: 'object',
  additionalProperties: false,
  properties: {
    gpu: { type: 'boolean', default: false },
    cores: { type: 'integer', minimum: 1, maximum: 8, default: 1 }
  },
  if: { properties: { gpu: { const: true } } },
  then: {
    properties: { kind: { enum: ['small', 'big'], default: 'small' } },
    if: { properties: { kind: { const: 'big' } }, required: ['kind'] },
    then: { properties: { account: { type: 'string' } }, required: ['account'] }
  }
};

const DEPENDENT: JSONObject = {
  properties: { proxy: { type: 'string' }, user: { type: 'string' } },
  dependentRequired: { user: ['password'] },
  dependentSchemas: {
    user: { properties: { password: { type: 'string' } } },
    proxy: { properties: { port: { type: 'integer', default: 3128 } } }
  }
};

const ONE_OF: JSONObject = {
  properties: { title: { type: 'string' } },
  oneOf: [
    {
      title: 'A file',
      properties: { kind: { const: 'file' }, path: { type: 'string' } },
      required: ['kind', 'path']
    },
    {
      title: 'A table',
      properties: { kind: { const: 'table' }, rows: { type: 'integer', default: 5 } },
      required: ['kind', 'rows']
    }
  ]
};

function fieldset(
  schema: JSONObject,
  values: JSONObject = {},
  sources: { [name: string]: Layer } = {}
): Fieldset {
  return new Fieldset(schema, { values, sources });
}

describe('what applies', () => {
  it('begins with the defaults of what always applies', () => {
    expect(fieldset(GPU).values).toEqual({ gpu: false, cores: 1 });
  });

  it('brings the default of a branch with it, and that may switch the next', () => {
    const fields = fieldset(GPU);
    fields.change({ gpu: true, cores: 1 }, 'gpu');
    expect(fields.values).toEqual({ gpu: true, cores: 1, kind: 'small' });
    fields.change({ ...fields.shown, kind: 'big' }, 'kind');
    expect(fields.values).toEqual({ gpu: true, cores: 1, kind: 'big' });
    expect([...fields.rules.applying(fields.values, 'fitting').keys()]).toContain(
      'account'
    );
  });

  it('does not send what applies no more, and has it again when it does', () => {
    const fields = fieldset(GPU);
    fields.change({ gpu: true }, 'gpu');
    fields.change({ kind: 'big' }, 'kind');
    fields.change({ account: 'ada' }, 'account');
    expect(fields.values).toMatchObject({ kind: 'big', account: 'ada' });
    fields.change({ gpu: false }, 'gpu');
    expect(fields.values).toEqual({ gpu: false, cores: 1 });
    fields.change({ gpu: true }, 'gpu');
    expect(fields.values).toMatchObject({ kind: 'big', account: 'ada' });
  });

  it('is not kept alive by a value that is left over', () => {
    // `kind` alone must not switch its own rule.
    const fields = fieldset(GPU, { kind: 'big' }, { kind: 'remembered' });
    expect(fields.values).toEqual({ gpu: false, cores: 1 });
  });

  it('knows dependentSchemas and dependentRequired', () => {
    const fields = fieldset(DEPENDENT);
    expect(fields.values).toEqual({});
    fields.change({ proxy: 'box' }, 'proxy');
    expect(fields.values).toEqual({ proxy: 'box', port: 3128 });
    fields.change({ user: 'ada' }, 'user');
    expect(fields.rules.refusals(fields.values)).toMatchObject([
      { keyword: 'dependentRequired', params: { missingProperty: 'password' } }
    ]);
    expect(fields.rules.rendered.dependencies).toMatchObject({
      user: { required: ['password'], properties: { password: { type: 'string' } } },
      proxy: { properties: { port: { default: 3128 } } }
    });
  });

  it('sends of alternatives that which was chosen', () => {
    const fields = fieldset(ONE_OF);
    fields.change({ kind: 'file', path: 'a' }, null);
    expect(fields.values).toEqual({ kind: 'file', path: 'a' });
    // rjsf takes away what the other alternative does not have.
    fields.change({ kind: 'table', rows: 5 }, null);
    expect(fields.values).toEqual({ kind: 'table', rows: 5 });
    expect(fields.shown).toEqual({ kind: 'table', rows: 5 });
  });

  it('asks of the chosen alternative only what that lacks', () => {
    const fields = fieldset(ONE_OF);
    fields.change({ kind: 'file' }, 'kind');
    expect(fields.rules.refusals(fields.values)).toMatchObject([
      { keyword: 'required', params: { missingProperty: 'path' } }
    ]);
  });

  it('knows the default of what a property refers to', () => {
    const fields = fieldset({
      $defs: { size: { type: 'integer', default: 8 } },
      properties: {
        a: { $ref: '#/$defs/size' },
        b: { $ref: '#/$defs/size', default: 1 }
      }
    });
    expect(fields.values).toEqual({ a: 8, b: 1 });
  });

  it('follows $ref, and never further than it goes', () => {
    const rules = new Rules({
      $defs: { more: { properties: { size: { type: 'integer', default: 2 } } } },
      allOf: [{ $ref: '#/$defs/more' }, { $ref: '#' }]
    });
    expect([...rules.declared.keys()]).toEqual(['size']);
  });

  it('puts what a rule brings behind what the rule is about', () => {
    const { order } = new Rules({
      ...GPU,
      dependentSchemas: {
        gpu: { properties: { driver: {} } }
      }
    });
    expect(order).toEqual(['gpu', 'driver', 'kind', 'account', 'cores']);
  });

  it('gives rjsf a schema that Ajv can read', () => {
    const { rendered, validator } = new Rules({
      ...DEPENDENT,
      ...GPU,
      properties: { pair: { type: 'array', prefixItems: [{}, {}], items: false } }
    });
    const { validationError } = validator.rawValidation(rendered, {});
    expect(validationError).toBeUndefined();
  });

  it('leaves to the server what does not run here', () => {
    const rules = new Rules({
      properties: { a: { type: 'string', pattern: '(?P<x>a)' } }
    });
    expect(rules.refusals({ a: 'b' })).toEqual([]);
  });
});

describe('where values come from', () => {
  const SCHEMA: JSONObject = {
    properties: {
      size: { type: 'integer', default: 1 },
      folder: { type: 'string', 'x-default-from': 'cwd' },
      label: { type: 'string' }
    }
  };

  it('lays what was typed over what is remembered over defaults', () => {
    const fields = fieldset(SCHEMA, { size: 4 }, { size: 'remembered' });
    expect(fields.values).toEqual({ size: 4 });
    expect(fields.source('size')).toBe('remembered');
    fields.change({ size: 7 }, 'size');
    expect(fields.values).toEqual({ size: 7 });
    expect(fields.source('size')).toBeUndefined();
  });

  it('says nothing of a value that is the default anyway', () => {
    const fields = fieldset(SCHEMA, { size: 1 }, { size: 'project' });
    expect(fields.source('size')).toBeUndefined();
  });

  it('goes back to the default, and means it', () => {
    const fields = fieldset(
      SCHEMA,
      { size: 4, label: 'x' },
      {
        size: 'remembered',
        label: 'project'
      }
    );
    fields.reset('size');
    fields.reset('label');
    expect(fields.values).toEqual({ size: 1 });
    expect(fields.chosen).toEqual({ size: 1 });
    expect(fields.source('size')).toBeUndefined();
  });

  it('keeps a field empty that was emptied', () => {
    const fields = fieldset(SCHEMA);
    fields.change({ size: undefined }, 'size');
    expect(fields.values).toEqual({});
    expect('size' in fields.shown).toBe(true);
  });

  it('leaves the folder to the server unless somebody chose one', () => {
    const fields = fieldset(SCHEMA, { size: 1, folder: '/home/ada' });
    expect(fields.shown['folder']).toBe('/home/ada');
    expect(fields.given).toEqual({ size: 1 });
    fields.change({ folder: '/data' }, 'folder');
    expect(fields.given).toEqual({ size: 1, folder: '/data' });
    expect(fields.chosen).toEqual({}); // another time, it is another folder
  });

  it('sends a folder that the project says, and can go back to the usual one', () => {
    const fields = fieldset(SCHEMA, { folder: '/data' }, { folder: 'project' });
    expect(fields.shown['folder']).toBe('/data');
    expect(fields.source('folder')).toBe('project');
    expect(fields.given['folder']).toBe('/data');
    fields.reset('folder');
    expect(fields.shown['folder']).toBeUndefined(); // the server knows it
    expect('folder' in fields.given).toBe(false);
  });

  it('takes null for "no value"', () => {
    const fields = fieldset(SCHEMA, { label: null, size: null });
    expect(fields.values).toEqual({ size: 1 });
    fields.type({ label: null, other: 1 });
    expect(fields.values).toEqual({ size: 1 });
  });

  it('remembers what people chose, and not what a project or the app says', () => {
    const fields = fieldset(
      { properties: { a: {}, b: {}, c: {}, d: { default: 1 } } },
      { a: 1, b: 2 },
      { a: 'project', b: 'remembered' }
    );
    fields.change({ c: 3 }, 'c');
    expect(fields.chosen).toEqual({ b: 2, c: 3 });
    expect(fields.given).toEqual({ a: 1, b: 2, c: 3, d: 1 });
  });

  it('keeps what was typed when the folder brings other defaults', () => {
    const fields = fieldset(SCHEMA, { size: 1 });
    fields.change({ label: 'mine' }, 'label');
    fields.begin({
      values: { size: 9, label: 'theirs' },
      sources: {
        size: 'project',
        label: 'project'
      }
    });
    expect(fields.values).toEqual({ size: 9, label: 'mine' });
  });

  it('takes what the form fills in within objects for nobody’s choice', () => {
    const schema: JSONObject = {
      properties: { more: { type: 'object', properties: { a: { default: 1 } } } }
    };
    const fields = fieldset(schema);
    fields.change({ more: { a: 1 } }, undefined);
    expect(fields.values).toEqual({ more: { a: 1 } });
    expect(fields.chosen).toEqual({});
  });
});
