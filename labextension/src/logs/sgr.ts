/** How text looks that a terminal would colour: "Select Graphic Rendition". Pure. */

/** 0–15: a colour of the palette, which the theme defines; `RGB` and above: exactly that one. */
export type Colour = number;

/** Marks a `Colour` that is `RGB | red << 16 | green << 8 | blue`. */
export const RGB = 0x1000000;

/** A look. Never changed: another look is another object. */
export interface ILook {
  readonly foreground: Colour | null;
  readonly background: Colour | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly strike: boolean;
  readonly inverse: boolean;
}

export const PLAIN: ILook = {
  foreground: null,
  background: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false
};

const SIMPLE: { readonly [code: number]: Partial<ILook> } = {
  0: PLAIN,
  1: { bold: true },
  2: { dim: true },
  3: { italic: true },
  4: { underline: true },
  7: { inverse: true },
  9: { strike: true },
  21: { underline: true },
  22: { bold: false, dim: false },
  23: { italic: false },
  24: { underline: false },
  27: { inverse: false },
  29: { strike: false },
  39: { foreground: null },
  49: { background: null }
};

/**
 * The look after `\e[<parameters>m`.
 *
 * @param look the one before
 * @param parameters what stands between `[` and `m`: "1;31", "38;5;208", "38:2::255:0:0"
 */
export function select(look: ILook, parameters: string): ILook {
  const fields = parameters.split(';');
  let next = { ...look };
  for (let i = 0; i < fields.length; i++) {
    const [code = 0, ...more] = (fields[i] ?? '').split(':').map(Number);
    if (code === 38 || code === 48 || code === 58) {
      // Colons keep a colour in one field; with semicolons it takes the fields that follow.
      const [colour, used] =
        more.length > 0
          ? [extended(more.length > 4 ? [more[0], ...more.slice(2)] : more)[0], 0]
          : extended(fields.slice(i + 1).map(Number));
      i += used;
      if (colour !== null && code !== 58) {
        next[code === 38 ? 'foreground' : 'background'] = colour;
      }
    } else if (code === 4 && more.length > 0) {
      next.underline = more[0] !== 0;
    } else if (code in SIMPLE) {
      next = { ...next, ...SIMPLE[code] };
    } else if (between(code, 30, 37)) {
      next.foreground = code - 30;
    } else if (between(code, 40, 47)) {
      next.background = code - 40;
    } else if (between(code, 90, 97)) {
      next.foreground = code - 82;
    } else if (between(code, 100, 107)) {
      next.background = code - 92;
    }
  }
  return sameLook(next, PLAIN) ? PLAIN : next;
}

export function sameLook(a: ILook, b: ILook): boolean {
  return (
    a === b ||
    (a.foreground === b.foreground &&
      a.background === b.background &&
      a.bold === b.bold &&
      a.dim === b.dim &&
      a.italic === b.italic &&
      a.underline === b.underline &&
      a.strike === b.strike &&
      a.inverse === b.inverse)
  );
}

/** The colour that `5;n` or `2;r;g;b` mean, null if none; and how many fields that took. */
function extended(
  fields: readonly (number | undefined)[]
): readonly [Colour | null, number] {
  const [kind, first = 0, green = 0, blue = 0] = fields;
  if (kind === 5) {
    return [between(first, 0, 255) ? indexed(first) : null, 2];
  }
  if (kind === 2) {
    const isColour = [first, green, blue].every(part => between(part, 0, 255));
    return [isColour ? rgb(first, green, blue) : null, 4];
  }
  return [null, fields.length]; // what follows cannot be told apart from it
}

/** Of the 256: the palette, a cube of 6 × 6 × 6, and greys. */
function indexed(index: number): Colour {
  if (index < 16) {
    return index;
  }
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return rgb(grey, grey, grey);
  }
  const level = (n: number): number => (n === 0 ? 0 : 55 + n * 40);
  const cube = index - 16;
  return rgb(
    level(Math.floor(cube / 36)),
    level(Math.floor(cube / 6) % 6),
    level(cube % 6)
  );
}

function rgb(red: number, green: number, blue: number): Colour {
  return RGB | (red << 16) | (green << 8) | blue;
}

function between(value: number, least: number, most: number): boolean {
  return value >= least && value <= most;
}
