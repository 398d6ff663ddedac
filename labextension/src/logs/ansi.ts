/** A stream of text as a terminal of endless height would show it: lines. Pure. */

import { PLAIN, sameLook, select, type ILook } from './sgr';

/** A part of a line that does not look plain: UTF-16 offsets. */
export interface IRun {
  readonly from: number;
  readonly to: number;
  readonly look: ILook;
}

export interface ILine {
  readonly text: string;
  /** In order, not overlapping; what lies between looks plain. */
  readonly runs: readonly IRun[];
  /** How many characters more the line had than are kept. */
  readonly omitted: number;
}

/** Programs pad to a column; more than this is not meant to be read. */
const MAX_PADDING = 512;
/** Characters of an escape sequence that never ends. */
const MAX_ESCAPE = 256;

const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;
const CSI = /\x1b\[([\x30-\x3f]*)([\x20-\x2f]*)([\x40-\x7e])/y;
const CSI_PART = /\x1b\[[\x30-\x3f]*[\x20-\x2f]*/y;
const SHORT = /\x1b[\x20-\x2f]*[\x30-\x7e]/y;
const SHORT_PART = /\x1b[\x20-\x2f]*/y;
/** What ends, or breaks off, a title or another string for the terminal. */
const STRING_END = /[\x07\x0a\x18\x1a\x1b\x9c]/g;
const SURROGATE = /[\ud800-\udfff]/;

/**
 * Makes lines of text that comes in pieces, cut anywhere.
 *
 * Colours are kept, a carriage return goes back to the beginning of the line, so that what follows
 * overwrites it, and the few sequences that progress bars use within a line are carried out. All
 * others are left out: what has been printed stays.
 */
export class LineParser {
  /**
   * @param maxLine how many characters (UTF-16 units) of a line are kept
   */
  constructor(private readonly maxLine = 10_000) {}

  /** Take in what comes next; gives the lines that it completes. */
  push(piece: string): ILine[] {
    const input = this._rest + piece;
    this._rest = '';
    const lines: ILine[] = [];
    let at = 0;
    while (at < input.length) {
      if (this._inString) {
        at = this._skipString(input, at);
        continue;
      }
      CONTROL.lastIndex = at;
      const control = CONTROL.exec(input)?.index ?? input.length;
      if (control > at) {
        // Half a character waits for its other half.
        const half = control === input.length && isHigh(input.charCodeAt(control - 1));
        this._write(input.slice(at, half ? control - 1 : control));
        this._rest = half ? input.slice(-1) : '';
        at = control;
        continue;
      }
      switch (input[at]) {
        case '\n':
          lines.push(this._complete());
          break;
        case '\r':
          this._at = 0;
          this._over = 0;
          break;
        case '\b':
          this._at = this._back(1);
          break;
        case '\x1b': {
          at = this._escape(input, at);
          continue;
        }
      }
      at++;
    }
    return lines;
  }

  /** The line that is being written; null if nothing has been yet. */
  get open(): ILine | null {
    return this._text === '' ? null : this._line();
  }

  /** Nothing follows: the last line, if there is one without an end. */
  end(): ILine | null {
    if (this._rest !== '' && !this._rest.startsWith('\x1b')) {
      this._write(this._rest);
    }
    this._rest = '';
    this._inString = false;
    return this._text === '' ? null : this._complete();
  }

  private _line(): ILine {
    return { text: this._text, runs: [...this._runs], omitted: this._omitted };
  }

  private _complete(): ILine {
    const line = { text: this._text, runs: this._runs, omitted: this._omitted };
    this._text = '';
    this._runs = [];
    this._at = this._over = this._omitted = 0;
    this._hasPairs = false;
    return line;
  }

  /** Carry out the sequence at `at`; gives where to go on. */
  private _escape(input: string, at: number): number {
    const next = input[at + 1];
    if (next === undefined) {
      this._rest = input.slice(at);
      return input.length;
    }
    if (']PX^_'.includes(next)) {
      this._inString = true;
      return at + 2;
    }
    const [whole, part] = next === '[' ? [CSI, CSI_PART] : [SHORT, SHORT_PART];
    whole.lastIndex = at;
    const match = whole.exec(input);
    if (match) {
      if (next === '[') {
        this._control(match[1] ?? '', match[3] ?? '');
      } else if (next === 'c') {
        this._look = PLAIN;
      }
      return whole.lastIndex;
    }
    part.lastIndex = at;
    part.exec(input);
    const end = part.lastIndex;
    if (end === input.length && end - at < MAX_ESCAPE) {
      this._rest = input.slice(at);
    }
    return end;
  }

  private _control(parameters: string, final: string): void {
    if (final === 'm') {
      if (!/[<=>?]/.test(parameters)) {
        this._look = select(this._look, parameters);
      }
      return;
    }
    const count = Math.min(Number.parseInt(parameters, 10) || 0, 1_000_000);
    switch (final) {
      case 'K': // erase: to the end, from the beginning, all
        if (count === 0) {
          this._cut(this._at);
        } else if (count === 1 || count === 2) {
          const kept = count === 1 ? this._text.slice(this._at) : '';
          const blank = this._at;
          const runs = this._runs.filter(run => count === 1 && run.to > blank);
          this._text = ' '.repeat(blank) + kept;
          this._runs = runs.map(run => ({ ...run, from: Math.max(run.from, blank) }));
        }
        break;
      case 'G': // to a column
        this._at = 0;
        this._forward(Math.max(count, 1) - 1);
        break;
      case 'C':
        this._forward(Math.max(count, 1));
        break;
      case 'D':
        this._at = this._back(Math.max(count, 1));
        break;
    }
  }

  /** Leave out the string for the terminal that goes on at `at`; gives where it ends. */
  private _skipString(input: string, at: number): number {
    STRING_END.lastIndex = at;
    const end = STRING_END.exec(input)?.index;
    if (end === undefined) {
      return input.length;
    }
    if (input[end] === '\x1b') {
      if (end + 1 === input.length) {
        this._rest = '\x1b';
        return input.length;
      }
      this._inString = false;
      return input[end + 1] === '\\' ? end + 2 : end;
    }
    this._inString = false;
    return input[end] === '\n' ? end : end + 1;
  }

  /** Put `text`, which has no control characters, where the cursor is. */
  private _write(text: string): void {
    this._hasPairs ||= SURROGATE.test(text);
    const room = this.maxLine - this._at;
    if (text.length > room) {
      const fits = isHigh(text.charCodeAt(room - 1)) ? room - 1 : room;
      this._over += text.length - fits;
      this._omitted = Math.max(this._omitted, this._over);
      text = text.slice(0, fits);
    }
    if (text === '') {
      return;
    }
    const from = this._at;
    const to = from + text.length;
    if (from === this._text.length) {
      this._text += text;
    } else {
      const end = this._ahead(
        from,
        this._hasPairs ? Array.from(text).length : text.length
      );
      this._text = this._text.slice(0, from) + text + this._text.slice(end);
      const shift = to - end;
      const before = this._runs.filter(run => run.from < from);
      const after = this._runs.filter(run => run.to > end);
      this._runs = before.map(run => ({ ...run, to: Math.min(run.to, from) }));
      this._addRun(from, to);
      this._runs.push(
        ...after.map(run => ({
          ...run,
          from: Math.max(run.from, end) + shift,
          to: run.to + shift
        }))
      );
      // With pairs, a line may become longer by being overwritten.
      this._cut(this.maxLine);
      this._at = to;
      return;
    }
    this._addRun(from, to);
    this._at = to;
  }

  private _addRun(from: number, to: number): void {
    if (this._look === PLAIN) {
      return;
    }
    const last = this._runs.at(-1);
    if (last?.to === from && sameLook(last.look, this._look)) {
      this._runs[this._runs.length - 1] = { ...last, to };
    } else {
      this._runs.push({ from, to, look: this._look });
    }
  }

  private _cut(at: number): void {
    if (at < this._text.length) {
      this._text = this._text.slice(0, at);
      this._runs = this._runs
        .filter(run => run.from < at)
        .map(run => (run.to > at ? { ...run, to: at } : run));
    }
  }

  /** The cursor, `count` characters on; the line is filled up with spaces. */
  private _forward(count: number): void {
    let missing = Math.min(count, this.maxLine);
    while (missing > 0 && this._at < this._text.length) {
      this._at = this._ahead(this._at, 1);
      missing--;
    }
    const padding = Math.min(missing, MAX_PADDING, this.maxLine - this._text.length);
    if (padding > 0) {
      this._text += ' '.repeat(padding);
      this._at = this._text.length;
    }
  }

  /** Where the character stands that comes `count` after the one at `from`. */
  private _ahead(from: number, count: number): number {
    const { length } = this._text;
    if (!this._hasPairs) {
      return Math.min(from + count, length);
    }
    let at = from;
    for (let n = 0; n < count && at < length; n++) {
      at += (this._text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
    }
    return at;
  }

  private _back(count: number): number {
    let at = this._at;
    for (let n = 0; n < count && at > 0; n++) {
      at -= at > 1 && (this._text.codePointAt(at - 2) ?? 0) > 0xffff ? 2 : 1;
    }
    return at;
  }

  private _text = '';
  private _runs: IRun[] = [];
  /** Where the cursor is in `_text`: never beyond its end, never within a pair. */
  private _at = 0;
  /** Whether `_text` may have characters of two units. */
  private _hasPairs = false;
  /** Characters that had no room since the last carriage return, and the most there were. */
  private _over = 0;
  private _omitted = 0;
  private _look: ILook = PLAIN;
  /** What cannot be understood before more has come. */
  private _rest = '';
  /** Within a string that is not for people: a window's title, say. */
  private _inString = false;
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
