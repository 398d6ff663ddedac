/** A time limit as people write it: a number and a unit. Pure. */

import type { TranslationBundle } from '@jupyterlab/translation';

export type TimeUnit = 'minutes' | 'hours' | 'days' | 'none';

/** What the two controls hold. The amount is text: it may be half written. */
export interface ITimeLimit {
  readonly amount: string;
  readonly unit: TimeUnit;
}

const SECONDS = { days: 86_400, hours: 3_600, minutes: 60 } as const;

/** The server refuses more than ten years. */
const LONGEST = 10 * 365 * SECONDS.days;

/** Seconds in the largest unit in which they are a whole number; minutes if in none. */
export function toTimeLimit(seconds: number | null): ITimeLimit {
  if (seconds === null) {
    return { amount: '', unit: 'none' };
  }
  for (const [unit, size] of Object.entries(SECONDS)) {
    if (seconds % size === 0) {
      return { amount: String(seconds / size), unit: unit as TimeUnit };
    }
  }
  return { amount: String(Number((seconds / 60).toFixed(2))), unit: 'minutes' };
}

/** Seconds; null for no limit; NaN for what is no number. */
export function toSeconds({ amount, unit }: ITimeLimit): number | null {
  if (unit === 'none') {
    return null;
  }
  const number = Number(amount.trim().replace(',', '.'));
  return amount.trim() === '' ? NaN : Math.round(number * SECONDS[unit]);
}

/**
 * What is wrong with a limit, as a sentence; empty if nothing.
 *
 * @param maximum in seconds; null if there is none
 */
export function timeLimitProblem(
  limit: ITimeLimit,
  maximum: number | null,
  trans: TranslationBundle
): string {
  const seconds = toSeconds(limit);
  if (seconds === null) {
    return maximum === null
      ? ''
      : trans.__('A time limit is required here: at most %1.', words(maximum, trans));
  }
  if (Number.isNaN(seconds) || seconds <= 0) {
    return trans.__('Give a number above 0.');
  }
  if (maximum !== null && seconds > maximum) {
    return trans.__('The most that is allowed is %1.', words(maximum, trans));
  }
  return seconds > LONGEST ? trans.__('That is too long.') : '';
}

/** "8 hours". */
export function words(seconds: number, trans: TranslationBundle): string {
  const { amount, unit } = toTimeLimit(seconds);
  const count = Number(amount);
  switch (unit) {
    case 'days':
      return trans._n('%1 day', '%1 days', count, count);
    case 'hours':
      return trans._n('%1 hour', '%1 hours', count, count);
    default:
      return trans._n('%1 minute', '%1 minutes', count, count);
  }
}
