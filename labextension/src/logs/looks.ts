/** How a look is drawn: classes for what the theme decides, a colour for what the app does. */

import { Decoration } from '@codemirror/view';
import { RGB, type Colour, type ILook } from './sgr';

/** Different looks that are remembered: an app may well make a rainbow. */
const MOST = 4_096;

const known = new Map<string, Decoration>();

/** The decoration for `look`, the same one each time. */
export function decorationOf(look: ILook): Decoration {
  const key = `${look.foreground},${look.background},${flagsOf(look)}`;
  let decoration = known.get(key);
  if (!decoration) {
    if (known.size >= MOST) {
      known.clear();
    }
    const style = styleOf(look);
    decoration = Decoration.mark({
      class: classOf(look),
      ...(style ? { attributes: { style } } : {})
    });
    known.set(key, decoration);
  }
  return decoration;
}

function flagsOf(look: ILook): number {
  return [look.bold, look.dim, look.italic, look.underline, look.strike, look.inverse]
    .map(Number)
    .reduce((flags, flag) => flags * 2 + flag, 0);
}

/** Foreground and background as they are seen: `inverse` swaps them. */
function colours({ foreground, background, inverse }: ILook): {
  front: Colour | null;
  back: Colour | null;
} {
  return inverse
    ? { front: background, back: foreground }
    : { front: foreground, back: background };
}

export function classOf(look: ILook): string {
  const { front, back } = colours(look);
  const names: string[] = [];
  if (look.inverse && back === null) {
    names.push('inverse');
  }
  if (back !== null) {
    names.push('back');
    if (back < RGB) {
      names.push(`back-${back}`);
    }
    if (front === null) {
      names.push(isLight(back) ? 'on-light' : 'on-dark');
    }
  }
  if (front !== null) {
    names.push(front < RGB ? `front-${front}` : 'front');
  }
  for (const name of ['bold', 'dim', 'italic', 'underline', 'strike'] as const) {
    if (look[name]) {
      names.push(name);
    }
  }
  return names.map(name => `jp-sessions-ansi-${name}`).join(' ');
}

/** Exact colours, as custom properties: the style sheet makes the text's fit for the theme. */
export function styleOf(look: ILook): string {
  const { front, back } = colours(look);
  const rules: string[] = [];
  if (front !== null && front >= RGB) {
    rules.push(`--jp-sessions-front: ${hex(front)}`);
  }
  if (back !== null && back >= RGB) {
    rules.push(`--jp-sessions-back: ${hex(back)}`);
  }
  return rules.join('; ');
}

/** Of the palette as it is behind text; `logs.css` has the colours. */
const LIGHT = new Set([2, 3, 6, 7, 9, 10, 11, 12, 13, 14, 15]);

/** Whether black text on it is easier to read than white. */
function isLight(colour: Colour): boolean {
  if (colour < RGB) {
    return LIGHT.has(colour);
  }
  const [red, green, blue] = [colour >> 16, colour >> 8, colour].map(
    part => part & 255
  );
  return luminance(red ?? 0, green ?? 0, blue ?? 0) > 0.179;
}

/** WCAG's relative luminance. */
function luminance(...parts: [number, number, number]): number {
  const [red, green, blue] = parts.map(part => {
    const level = part / 255;
    return level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function hex(colour: Colour): string {
  return `#${(colour & 0xffffff).toString(16).padStart(6, '0')}`;
}
