import { describe, expect, it } from 'vitest';
import { changesBetween } from '../../labextension/src/changes';
import type { ISession } from '../../labextension/src/tokens';
import { session } from './fakes';

function map(...sessions: ISession[]): Map<string, ISession> {
  return new Map(sessions.map(each => [each.id, each]));
}

describe('changesBetween', () => {
  const before = session({ state: 'starting', revision: 3 });

  it('finds what is new, other, and gone', () => {
    const running = session({ revision: 4 });
    const fresh = session({ id: 'new' });
    const gone = session({ id: 'gone' });
    const known = map(before, gone);
    expect(changesBetween(known, [running, fresh], known)).toEqual([
      { change: 'running', session: running, before },
      { change: 'created', session: fresh, before: undefined },
      { change: 'deleted', session: gone, before: gone }
    ]);
  });

  it('says nothing about what is the same', () => {
    const known = map(before);
    expect(changesBetween(known, [before], known)).toEqual([]);
  });

  it.each([
    ['updated', session({ state: 'starting', revision: 4, name: 'Other' })],
    ['restarted', session({ state: 'created', attempt: 2, revision: 4 })],
    ['failed', session({ state: 'failed', revision: 4 })]
  ] as const)('calls it %s', (change, after) => {
    const known = map(before);
    expect(changesBetween(known, [after], known)[0]?.change).toBe(change);
  });

  it('leaves alone what has become newer while the list was on its way', () => {
    const newer = session({ state: 'running', revision: 5 });
    expect(changesBetween(map(newer), [before], map(before))).toEqual([]);
  });

  it('leaves alone what was created, or deleted, while the list was on its way', () => {
    const created = session({ id: 'new' });
    expect(changesBetween(map(created), [], map())).toEqual([]);
    expect(changesBetween(map(), [before], map(before))).toEqual([]);
  });
});
