import { describe, expect, it } from 'vitest';
import { fileName } from '../../labextension/src/logs/tab';

describe('the name of a file', () => {
  it.each([
    ['VS Code', 'VS Code.log'],
    ['a/b\\c:d', 'a_b_c_d.log'],
    ['../../etc/passwd', 'etc_passwd.log'],
    ['Größe 東京', 'Größe 東京.log'],
    ['...', 'session.log'],
    ['', 'session.log'],
    ['x'.repeat(500), `${'x'.repeat(100)}.log`]
  ])('%j', (name, file) => {
    expect(fileName(name)).toBe(file);
  });
});
