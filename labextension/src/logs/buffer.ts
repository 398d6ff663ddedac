/** The lines of a log: what is kept of them, and what a view has not shown yet. Pure. */

import { LineParser, type ILine, type IRun } from './ansi';

/** A line of the log, or one of ours between two attempts. */
export interface ILogLine extends ILine {
  readonly isMark?: boolean;
}

/** How to get from what a view shows to what there is. */
export interface IDelta {
  /** Lines to take away at the top. */
  readonly dropped: number;
  /** Of the others, how many still hold; those below are to be taken away. */
  readonly kept: number;
  /** Lines to put below them. */
  readonly lines: readonly ILogLine[];
  /** Whether there is more to be had. */
  readonly hasMore: boolean;
}

const NO_RUNS: readonly IRun[] = [];

/**
 * A log that grows, attempt after attempt.
 *
 * Its stream may break. When it begins anew (`restart`), lines that are there already are passed
 * over, so that nothing moves; from the first that differs, the new ones hold.
 */
export class LogBuffer {
  /**
   * @param limit how many lines are kept: the newest
   */
  constructor(private readonly limit = 100_000) {}

  /** Whether older lines have been left out. */
  get isTruncated(): boolean {
    return this._isTruncated;
  }

  get lines(): readonly ILogLine[] {
    return this._lines;
  }

  /** An attempt begins: `mark` is put between it and the lines before, if there are any. */
  begin(mark: string): void {
    this._finish();
    if (this._lines.length > 0) {
      this._lines.push({ text: mark, runs: NO_RUNS, omitted: 0, isMark: true });
    }
    this._start = this._lines.length;
    this._parser = new LineParser();
    this._passed = null;
  }

  /** The stream of this attempt comes once more, from its beginning. */
  restart(): void {
    this._parser = new LineParser();
    this._passed = this._start;
  }

  /** What comes next. */
  push(text: string): void {
    this._closeOpen();
    for (const line of this._parser.push(text)) {
      this._add(line);
    }
    if (this._passed === this._lines.length) {
      this._passed = null; // it has caught up
    }
    const open = this._parser.open;
    if (open && this._passed === null) {
      this._lines.push(open);
      this._hasOpen = true;
    }
    this._trim();
  }

  /** The stream has ended. */
  end(): void {
    this._finish();
    if (this._passed !== null) {
      this._cut(this._passed);
      this._passed = null;
    }
  }

  /**
   * What is new for a view.
   *
   * @param shown how many lines it shows
   * @param most how many it can take at once
   */
  take(shown: number, most: number): IDelta {
    const dropped = Math.min(this._dropped, shown);
    const kept = Math.min(shown - dropped, this._clean);
    const lines = this._lines.slice(kept, kept + most);
    this._dropped = 0;
    this._clean = kept + lines.length;
    return { dropped, kept, lines, hasMore: this._clean < this._lines.length };
  }

  private _add(line: ILine): void {
    if (this._passed !== null) {
      if (this._lines[this._passed]?.text === line.text) {
        this._passed++;
        return;
      }
      this._cut(this._passed);
      this._passed = null;
    }
    this._lines.push(line);
  }

  private _finish(): void {
    this._closeOpen();
    const last = this._parser.end();
    if (last) {
      this._add(last);
    }
    this._trim();
  }

  /** Take the line away that is not complete: it comes again, longer. */
  private _closeOpen(): void {
    if (this._hasOpen) {
      this._hasOpen = false;
      this._cut(this._lines.length - 1);
    }
  }

  private _cut(length: number): void {
    this._lines.length = length;
    this._clean = Math.min(this._clean, length);
  }

  private _trim(): void {
    // Not for every single line: each time moves all others.
    if (this._lines.length <= this.limit + Math.min(1_000, this.limit / 10)) {
      return;
    }
    const extra = this._lines.length - this.limit;
    this._lines.splice(0, extra);
    this._isTruncated = true;
    this._dropped += extra;
    this._clean = Math.max(0, this._clean - extra);
    this._start = Math.max(0, this._start - extra);
    if (this._passed !== null) {
      this._passed = Math.max(0, this._passed - extra);
    }
  }

  private readonly _lines: ILogLine[] = [];
  private _parser = new LineParser();
  /** Where this attempt's lines begin. */
  private _start = 0;
  /** While a stream comes once more: up to where it has been as before. */
  private _passed: number | null = null;
  /** Whether the last line is not complete. */
  private _hasOpen = false;
  private _isTruncated = false;
  /** Lines that went at the top since a view was told. */
  private _dropped = 0;
  /** Of those that are left, how many a view has been told of. */
  private _clean = 0;
}
