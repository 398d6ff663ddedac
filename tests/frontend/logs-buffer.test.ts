import { describe, expect, it } from 'vitest';
import { LogBuffer } from '../../labextension/src/logs/buffer';

/** A view that does as it is told. */
class View {
  lines: string[] = [];
  /** How many lines it was given, all in all. */
  given = 0;

  constructor(private readonly buffer: LogBuffer) {}

  draw(most = Infinity): boolean {
    const { dropped, kept, lines, hasMore } = this.buffer.take(this.lines.length, most);
    this.given += lines.length;
    this.lines = [
      ...this.lines.slice(dropped, dropped + kept),
      ...lines.map(line => (line.isMark ? `— ${line.text}` : line.text))
    ];
    return hasMore;
  }
}

function begun(limit?: number): [LogBuffer, View] {
  const buffer = new LogBuffer(limit);
  buffer.begin('Attempt 1');
  return [buffer, new View(buffer)];
}

describe('what a view is told', () => {
  it('grows, the last line with it', () => {
    const [buffer, view] = begun();
    buffer.push('one\ntw');
    view.draw();
    expect(view.lines).toEqual(['one', 'tw']);
    buffer.push('o\nthree\n');
    view.draw();
    expect(view.lines).toEqual(['one', 'two', 'three']);
    expect(view.given).toBe(4); // 'tw' was drawn again, and nothing else
  });

  it('comes in portions', () => {
    const [buffer, view] = begun();
    buffer.push('a\nb\nc\nd\ne');
    expect(view.draw(2)).toBe(true);
    expect(view.lines).toEqual(['a', 'b']);
    buffer.push('!\nf');
    expect(view.draw(2)).toBe(true);
    expect(view.draw(2)).toBe(false);
    expect(view.lines).toEqual(['a', 'b', 'c', 'd', 'e!', 'f']);
  });

  it('is nothing if nothing is new', () => {
    const [buffer, view] = begun();
    buffer.push('a\nb');
    view.draw();
    const delta = buffer.take(2, Infinity);
    expect(delta).toEqual({ dropped: 0, kept: 2, lines: [], hasMore: false });
  });
});

describe('a limit', () => {
  it('lets the oldest go', () => {
    const [buffer, view] = begun(100);
    for (let n = 0; n < 1_000; n++) {
      buffer.push(`${n}\n`);
      if (n % 7 === 0) {
        view.draw(5);
      }
    }
    while (view.draw(5)) {
      // until it has all
    }
    expect(view.lines).toEqual(buffer.lines.map(line => line.text));
    expect(view.lines.at(-1)).toBe('999');
    expect(view.lines.length).toBeGreaterThanOrEqual(100);
    expect(view.lines.length).toBeLessThanOrEqual(110);
    expect(buffer.isTruncated).toBe(true);
  });

  it('holds for one that comes all at once', () => {
    const [buffer, view] = begun(100);
    buffer.push('first\n');
    view.draw();
    buffer.push(Array.from({ length: 5_000 }, (_, n) => `${n}\n`).join(''));
    view.draw();
    expect(view.lines[0]).toBe('4900');
    expect(view.lines).toHaveLength(100);
  });
});

describe('a stream that begins anew', () => {
  const first = 'one\ntwo\n\x1b[31mthree\x1b[0m\nfo';

  it('moves nothing that is there already', () => {
    const [buffer, view] = begun();
    buffer.push(first);
    view.draw();
    buffer.restart();
    const { given } = view;
    for (const piece of [
      'on',
      'e\ntwo\n\x1b[31',
      'mthree\x1b[0m',
      '\n',
      'four\nfive\n'
    ]) {
      buffer.push(piece);
      view.draw();
      expect(view.lines.slice(0, 3)).toEqual(['one', 'two', 'three']);
    }
    expect(view.lines).toEqual(['one', 'two', 'three', 'four', 'five']);
    expect(view.given - given).toBe(2);
  });

  it('shows the line that is being written', () => {
    const [buffer, view] = begun();
    buffer.push('one\n50%');
    buffer.restart();
    buffer.push('one\n50%\r60%');
    view.draw();
    expect(view.lines).toEqual(['one', '60%']);
  });

  it('holds, where it differs', () => {
    const [buffer, view] = begun();
    buffer.push('one\ntwo\nthree\n');
    view.draw();
    buffer.restart();
    buffer.push('one\n2\n');
    view.draw();
    expect(view.lines).toEqual(['one', '2']);
  });

  it('holds, where it is shorter', () => {
    const [buffer, view] = begun();
    buffer.push('one\ntwo\nthree\n');
    view.draw();
    buffer.restart();
    buffer.push('one\ntwo');
    buffer.end();
    view.draw();
    expect(view.lines).toEqual(['one', 'two']);
  });

  it('leaves earlier attempts alone', () => {
    const [buffer, view] = begun();
    buffer.push('one\n');
    buffer.end();
    buffer.begin('Attempt 2');
    buffer.push('two\n');
    view.draw();
    buffer.restart();
    buffer.push('zwei\n');
    view.draw();
    expect(view.lines).toEqual(['one', '— Attempt 2', 'zwei']);
  });

  it('catches up although lines were let go', () => {
    const [buffer, view] = begun(100);
    const all = Array.from({ length: 300 }, (_, n) => `${n}\n`);
    buffer.push(all.slice(0, 150).join(''));
    view.draw();
    buffer.restart();
    all.forEach(line => buffer.push(line));
    view.draw();
    expect(view.lines.at(-1)).toBe('299');
    expect(new Set(view.lines).size).toBe(view.lines.length);
  });
});

describe('attempts', () => {
  it('are marked off from each other', () => {
    const [buffer, view] = begun();
    buffer.push('one\nno end');
    buffer.begin('Attempt 2');
    buffer.push('two\n');
    view.draw();
    expect(view.lines).toEqual(['one', 'no end', '— Attempt 2', 'two']);
  });

  it('need no mark if nothing was said', () => {
    const [buffer, view] = begun();
    buffer.begin('Attempt 2');
    buffer.push('two\n');
    view.draw();
    expect(view.lines).toEqual(['two']);
  });

  it('do not share colours', () => {
    const [buffer] = begun();
    buffer.push('\x1b[31mred\n');
    buffer.begin('Attempt 2');
    buffer.push('plain\n');
    expect(buffer.lines.at(-1)!.runs).toEqual([]);
  });
});
