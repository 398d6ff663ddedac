/** How sessions, times and sizes read. Pure. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { ILink, ISession, SessionState } from './tokens';

/** The names of states, as people read them. */
export function stateLabel(state: SessionState, trans: TranslationBundle): string {
  switch (state) {
    case 'created':
      return trans.__('Submitting');
    case 'queued':
      return trans.__('Queued');
    case 'starting':
      return trans.__('Starting');
    case 'running':
      return trans.__('Running');
    case 'suspended':
      return trans.__('Suspended');
    case 'stopping':
      return trans.__('Stopping');
    case 'stopped':
      return trans.__('Stopped');
    case 'failed':
      return trans.__('Failed');
  }
}

/** On its way to running. */
export function isComing(session: ISession): boolean {
  return (
    session.state === 'created' ||
    session.state === 'queued' ||
    session.state === 'starting'
  );
}

export function hasEnded(session: ISession): boolean {
  return session.state === 'stopped' || session.state === 'failed';
}

/** Milliseconds that it runs already, or has run; undefined if its app has not begun. */
export function runningFor(session: ISession, now: number): number | undefined {
  if (!session.started) {
    return undefined;
  }
  const until = session.ended ? Date.parse(session.ended) : now;
  return Math.max(0, until - Date.parse(session.started));
}

/** Milliseconds until it ends by itself; undefined if it does not, or has. */
export function timeLeft(session: ISession, now: number): number | undefined {
  if (!session.expires || hasEnded(session)) {
    return undefined;
  }
  return Math.max(0, Date.parse(session.expires) - now);
}

/** Time is short: worth a colour. */
export function isShort(left: number | undefined): boolean {
  return left !== undefined && left < 15 * 60_000;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * A duration in at most two units: "42 s", "5 min", "2 h 5 min", "3 d 4 h".
 *
 * @param milliseconds not negative
 */
export function duration(milliseconds: number, trans: TranslationBundle): string {
  const whole = (unit: number): number => Math.floor(milliseconds / unit);
  if (milliseconds < MINUTE) {
    return trans.__('%1 s', whole(SECOND));
  }
  if (milliseconds < HOUR) {
    return trans.__('%1 min', whole(MINUTE));
  }
  if (milliseconds < DAY) {
    const minutes = whole(MINUTE) % 60;
    return minutes
      ? trans.__('%1 h %2 min', whole(HOUR), minutes)
      : trans.__('%1 h', whole(HOUR));
  }
  const hours = whole(HOUR) % 24;
  return hours
    ? trans.__('%1 d %2 h', whole(DAY), hours)
    : trans.__('%1 d', whole(DAY));
}

/** "3 min ago". */
export function ago(time: string, now: number, trans: TranslationBundle): string {
  const past = Math.max(0, now - Date.parse(time));
  return past < MINUTE
    ? trans.__('just now')
    : trans.__('%1 ago', duration(past, trans));
}

/** Bytes, in the units that `free -h` and task managers use: "512 MB", "1.5 GB". */
export function bytes(count: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit++;
  }
  return `${count < 10 && unit > 2 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

/** Where it runs, for one line; empty if that goes without saying. */
export function place(session: ISession): string {
  const { host, spawner, spawner_title } = session;
  if (spawner === 'local') {
    return host;
  }
  return host ? `${spawner_title} · ${host}` : spawner_title;
}

/** The browser tab in which a link opens: asking again brings up the same one. */
export function linkTarget(id: string, link: ILink): string {
  return `jupyter-session-${id}-${link.url}`;
}
