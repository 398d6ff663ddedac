/** What happened between two looks at the list of sessions. */

import type { IChange, ISession } from './tokens';

type Found = Omit<IChange, 'live'>;

/**
 * The changes that make `known` what the server answered.
 *
 * @param known what is known now, by id
 * @param answered the server's list
 * @param asked what was known when the list was asked for: what came since then is newer than it
 */
export function changesBetween(
  known: ReadonlyMap<string, ISession>,
  answered: readonly ISession[],
  asked: ReadonlyMap<string, ISession>
): Found[] {
  const found: Found[] = [];
  const listed = new Set<string>();
  for (const session of answered) {
    listed.add(session.id);
    const before = known.get(session.id);
    if (!before && asked.has(session.id)) {
      continue; // deleted since
    }
    if (!before || before.revision < session.revision) {
      found.push({ change: whatHappened(before, session), session, before });
    }
  }
  for (const [id, before] of known) {
    if (!listed.has(id) && asked.has(id)) {
      found.push({ change: 'deleted', session: before, before });
    }
  }
  return found;
}

function whatHappened(
  before: ISession | undefined,
  after: ISession
): IChange['change'] {
  if (!before) {
    return 'created';
  }
  if (after.state === before.state && after.attempt === before.attempt) {
    return 'updated';
  }
  return after.state === 'created' ? 'restarted' : after.state;
}
