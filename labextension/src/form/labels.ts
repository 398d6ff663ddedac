/** What fields are called, and what is said of them. Pure. */

import type { TranslationBundle } from '@jupyterlab/translation';

/** A name as a label, where a schema has no title: "window_manager" → "Window manager". */
export function humanize(name: string): string {
  const words = name.replaceAll(/[_-]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * The label of a field.
 *
 * @param label its title; rjsf takes the name of a field that has none
 */
export function labelOf(label: string | undefined, field: string): string {
  const name = nameOf(field);
  return label === undefined || label === name ? humanize(name) : label;
}

/** Of `options.more.list.0`: 0. */
export function nameOf(field: string): string {
  return field.split('.').pop() ?? '';
}

/**
 * What stands below a control: what its schema says of it, and the most that it takes.
 *
 * @returns empty if there is nothing to say
 */
export function describe(
  schema: { description?: string; type?: unknown; maximum?: number },
  trans: TranslationBundle
): string {
  const { description = '', type, maximum } = schema;
  const isNumber = type === 'number' || type === 'integer';
  if (!isNumber || maximum === undefined) {
    return description;
  }
  // Rounded down: what it says has to be allowed.
  const most = Math.floor(maximum * 100) / 100;
  return `${description} ${trans.__('At most %1.', most)}`.trim();
}

/** Whether a field is a row of a list. */
export function isItem(field: string): boolean {
  return /^\d+$/.test(nameOf(field));
}

/**
 * "Tags 2": a row of a list has no label that can be seen.
 *
 * @param label rjsf's: that of the list with the number behind it
 */
export function itemLabel(label: string, field: string): string {
  const [index = '0', list = ''] = field.split('.').reverse();
  return `${labelOf(label.replace(/-\d+$/, '') || undefined, list)} ${Number(index) + 1}`;
}
