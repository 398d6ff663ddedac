import { describe, expect, it } from 'vitest';
import { takes } from '../../labextension/src/filebrowser';
import type { IApp } from '../../labextension/src/tokens';
import { app } from './fakes';

function withFile(patterns?: string[]): IApp {
  const file = {
    type: 'string',
    'x-default-from': 'file',
    ...(patterns ? { 'x-file-patterns': patterns } : {})
  };
  return app({ options: { properties: { file } } });
}

describe('what an app takes', () => {
  it('is any file, if it says nothing about their names', () => {
    expect(takes(withFile(), 'file', 'a/b.csv')).toBe(true);
    expect(takes(withFile(), 'cwd')).toBe(false);
  });

  it.each([
    ['a/app.py', true],
    ['app.PY', true],
    ['two\nlines.py', true],
    ['app.pyc', false],
    ['appxpy', false],
    ['x.py/app.txt', false],
    ['notes(1).md', true],
    ['notes1.md', false],
    ['a1', true],
    ['a12', false]
  ])('is %j by its patterns: %s', (path, expected) => {
    const found = takes(withFile(['*.py', 'notes(?).md', 'a?']), 'file', path);
    expect(found).toBe(expected);
  });

  it('is nothing without such an option', () => {
    expect(takes(app(), 'file', 'app.py')).toBe(false);
  });
});
