/** Whether the colours of the log can be read: the style sheet's own, on Lab's own backgrounds. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const css = readFileSync('labextension/style/logs.css', 'utf8');
const LIGHT = [...Array(16).keys()].map(n =>
  property('.jp-sessions-log', `front-${n}`)
);
const DARK = [...Array(16).keys()].map(n =>
  property("body[data-jp-theme-light='false'] .jp-sessions-log", `front-${n}`)
);

/** The value of a custom property in the rule of `selector`. */
function property(selector: string, name: string): string {
  for (const rule of css.split('}')) {
    const [selectors = '', body = ''] = rule.split('{');
    if (selectors.trim().endsWith(`\n${selector}`) || selectors.trim() === selector) {
      const value = new RegExp(`--jp-sessions-${name}:\\s*([^;]+);`).exec(body)?.[1];
      if (value) {
        return value;
      }
    }
  }
  throw new Error(`${selector} has no --jp-sessions-${name}`);
}

function luminance(colour: string): number {
  const digits = colour.slice(1);
  const pairs =
    digits.length === 3
      ? [...digits].map(digit => digit + digit)
      : digits.match(/../g)!;
  const [red = 0, green = 0, blue = 0] = pairs.map(pair => {
    const level = parseInt(pair, 16) / 255;
    return level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** WCAG's contrast of two colours. */
function contrast(a: string, b: string): number {
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

describe('the 16 colours', () => {
  it.each(LIGHT.map((colour, n) => [n, colour]))('%i, light: %s', (_, colour) => {
    expect(contrast(String(colour), '#fff')).toBeGreaterThanOrEqual(4.5);
  });

  it.each(DARK.map((colour, n) => [n, colour]))('%i, dark: %s', (_, colour) => {
    expect(contrast(String(colour), '#111')).toBeGreaterThanOrEqual(4.5);
  });

  it('are different ones', () => {
    expect(new Set(LIGHT).size).toBe(16);
    expect(new Set(DARK).size).toBe(16);
  });

  it('can be read under text that has no colour of its own', async () => {
    const { classOf } = await import('../../labextension/src/logs/looks');
    const { PLAIN } = await import('../../labextension/src/logs/sgr');
    for (let n = 0; n < 16; n++) {
      const back = property(`.jp-sessions-ansi-back-${n}`, 'back');
      const isLight = classOf({ ...PLAIN, background: n }).includes('on-light');
      expect(contrast(back, isLight ? '#000' : '#fff')).toBeGreaterThanOrEqual(4.5);
    }
  });
});
