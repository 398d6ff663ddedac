import { describe, expect, it } from 'vitest';
import { LineParser, type ILine } from '../../labextension/src/logs/ansi';
import { classOf, styleOf } from '../../labextension/src/logs/looks';
import { PLAIN, RGB, select } from '../../labextension/src/logs/sgr';

/** All lines of `pieces`, the last one included if it has no end. */
function parse(pieces: string[], maxLine?: number): ILine[] {
  const parser = new LineParser(maxLine);
  const lines = pieces.flatMap(piece => parser.push(piece));
  const last = parser.end();
  return last ? [...lines, last] : lines;
}

const texts = (...pieces: string[]): string[] => parse(pieces).map(line => line.text);

/** A line with its looks, for comparing: "a<31>b</>c". */
function marked({ text, runs }: ILine): string {
  let result = '';
  let at = 0;
  for (const { from, to, look } of runs) {
    result += `${text.slice(at, from)}<${classOf(look).replaceAll('jp-sessions-ansi-', '')}>`;
    result += `${text.slice(from, to)}</>`;
    at = to;
  }
  return result + text.slice(at);
}

describe('lines', () => {
  it.each([
    ['a\nb\n', ['a', 'b']],
    ['a\r\nb\r\n', ['a', 'b']],
    ['a\n\nb', ['a', '', 'b']],
    ['', []],
    ['\n', ['']],
    ['tab\there', ['tab\there']]
  ])('%j', (input, lines) => {
    expect(texts(input)).toEqual(lines);
  });

  it('shows what has been written of the last one', () => {
    const parser = new LineParser();
    expect(parser.push('one\ntwo')).toHaveLength(1);
    expect(parser.open?.text).toBe('two');
    expect(parser.push(' and more\n').map(line => line.text)).toEqual(['two and more']);
    expect(parser.open).toBeNull();
  });

  it('leaves out what is no text', () => {
    expect(texts('a\x00b\x07c\x7fd\x85e\x0cf')).toEqual(['abcdef']);
  });
});

describe('what overwrites', () => {
  it.each([
    ['  0%\r 50%\r100%\n', '100%'],
    ['longer line\rshort\n', 'shortr line'],
    ['longer line\r\x1b[Kshort\n', 'short'],
    ['longer line\x1b[2K\rshort\n', 'short      '],
    ['abc\x1b[1K!\n', '   !'],
    ['abc\b\bX\n', 'aXc'],
    ['abcdef\x1b[3GX\n', 'abXdef'],
    ['ab\x1b[6GX\n', 'ab   X'],
    ['abc\x1b[2DX\n', 'aXc'],
    ['ab\r\x1b[1CX\n', 'aX'],
    ['last state\r\n', 'last state'],
    ['😀😀b\ra\n', 'a😀b'],
    ['ab\r😀\n', '😀b'],
    ['😀\bx\n', 'x']
  ])('%j', (input, line) => {
    expect(texts(input)).toEqual([line]);
  });

  it('takes the colours along', () => {
    const [line] = parse(['\x1b[31mred and red\r\x1b[32mgreen\x1b[0m!\n']);
    expect(marked(line!)).toBe('<front-2>green</>!<front-1>d red</>');
    const [other] = parse(['\x1b[31mabcdef\x1b[4G\x1b[0m\x1b[K\n']);
    expect(marked(other!)).toBe('<front-1>abc</>');
  });

  it('does not pad for ever', () => {
    expect(texts('\x1b[999999999Gx')[0]!.length).toBeLessThan(1_000);
    expect(texts('a\x1b[999999999Db')).toEqual(['b']);
  });
});

describe('colours', () => {
  it.each([
    ['\x1b[31mred\x1b[0m plain', '<front-1>red</> plain'],
    ['\x1b[1;4;31mx\x1b[m', '<front-1 bold underline>x</>'],
    ['\x1b[91;102mx', '<back back-10 front-9>x</>'],
    ['\x1b[44mx', '<back back-4 on-dark>x</>'],
    ['\x1b[43mx', '<back back-3 on-light>x</>'],
    ['\x1b[7mx\x1b[27my', '<inverse>x</>y'],
    ['\x1b[31;7mx', '<back back-1 on-dark>x</>'],
    ['\x1b[1;2;3mx\x1b[22my\x1b[23mz', '<bold dim italic>x</><italic>y</>z'],
    ['\x1b[38;5;9mx', '<front-9>x</>'],
    ['\x1b[31mone\x1b[31mtwo', '<front-1>onetwo</>'],
    ['\x1b[4:3mx\x1b[4:0my', '<underline>x</>y'],
    ['\x1b[58;5;1;31mx', '<front-1>x</>'],
    ['\x1b[38;7;31mx', 'x']
  ])('%j', (input, expected) => {
    expect(marked(parse([input])[0]!)).toBe(expected);
  });

  it('goes on in the next line', () => {
    expect(parse(['\x1b[32mone\ntwo\x1b[0m\nthree']).map(marked)).toEqual([
      '<front-2>one</>',
      '<front-2>two</>',
      'three'
    ]);
  });

  it.each([
    ['38;5;196', 0xff0000],
    ['38;5;16', 0],
    ['38;5;231', 0xffffff],
    ['38;5;244', 0x808080],
    ['38;2;1;2;3', 0x010203],
    ['38:2::1:2:3', 0x010203],
    ['38:2:1:2:3', 0x010203],
    ['38:5:196', 0xff0000]
  ])('%s', (parameters, rgb) => {
    expect(select(PLAIN, parameters).foreground).toBe(RGB | rgb);
  });

  it('takes no impossible ones', () => {
    for (const parameters of [
      '38;5;256',
      '38;2;1;2;300',
      '38;7',
      '38',
      'x',
      '39;400'
    ]) {
      expect(select(PLAIN, parameters)).toBe(PLAIN);
    }
  });

  it('gives exact colours as properties, which cannot be anything else', () => {
    expect(styleOf(select(PLAIN, '38;2;255;0;16'))).toBe(
      '--jp-sessions-front: #ff0010'
    );
    expect(styleOf(select(PLAIN, '48;2;0;0;1'))).toBe('--jp-sessions-back: #000001');
    expect(styleOf(select(PLAIN, '31'))).toBe('');
  });
});

describe('sequences for the terminal', () => {
  it.each([
    ['\x1b[2J\x1b[Hx', 'x'],
    ['\x1b[?25lx\x1b[?25h', 'x'],
    ['\x1b[>4;1mx', 'x'],
    ['\x1b]0;title\x07x', 'x'],
    ['\x1b]0;title\x1b\\x', 'x'],
    ['\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\ x', 'link x'],
    ['\x1bP1$r0m\x1b\\x', 'x'],
    ['\x1b(Bx\x1b=y\x1b7z', 'xyz'],
    ['\x1b[31', ''],
    ['\x1b[3é1mx', 'é1mx'],
    ['a\x1b', 'a']
  ])('%j', (input, line) => {
    expect(texts(input).join('|')).toBe(line);
  });

  it('does not swallow lines after one that never ends', () => {
    expect(texts('\x1b]0;title\nnext\n')).toEqual(['', 'next']);
    expect(texts(`\x1b[${'1;'.repeat(10_000)}\nnext\n`)).toEqual(['', 'next']);
  });

  it('does not keep what never ends', () => {
    const parser = new LineParser();
    parser.push('\x1b[');
    for (let n = 0; n < 1_000; n++) {
      parser.push('1;'.repeat(100));
    }
    parser.push('m\nafter');
    expect(parser.open?.text).toBe('after');
  });
});

describe('pieces', () => {
  const whole =
    'a\x1b[1;38;5;208mbold\x1b[0m\r\nüñí 😀 \x1b[38:2::1:2:3mx\x1b[m\x1b]0;t\x1b\\\n' +
    '50%\r\x1b[K\x1b[32m100%\x1b[0m\r\nab\b\x1b(Bc\n😀😀\rx\nend';

  it('gives the same wherever the stream is cut', () => {
    const expected = parse([whole]).map(marked);
    expect(expected).toHaveLength(6);
    for (let at = 0; at <= whole.length; at++) {
      expect(parse([whole.slice(0, at), whole.slice(at)]).map(marked)).toEqual(
        expected
      );
    }
    expect(parse(whole.split('')).map(marked)).toEqual(expected);
  });

  it('shows no half of a character', () => {
    const parser = new LineParser();
    parser.push('a😀'.slice(0, 2));
    expect(parser.open?.text).toBe('a');
    parser.push('a😀'.slice(2));
    expect(parser.open?.text).toBe('a😀');
  });
});

describe('huge lines', () => {
  it('keeps their beginning and counts the rest', () => {
    const [line] = parse(['x'.repeat(70), 'y'.repeat(80), '\nz'], 100);
    expect(line!.text).toBe('x'.repeat(70) + 'y'.repeat(30));
    expect(line!.omitted).toBe(50);
    expect(parse(['x'.repeat(150), '\nz'], 100)[1]).toMatchObject({
      text: 'z',
      omitted: 0
    });
  });

  it('counts what is overwritten once', () => {
    const [line] = parse([`${'x'.repeat(120)}\r${'y'.repeat(110)}\n`], 100);
    expect(line).toMatchObject({ text: 'y'.repeat(100), omitted: 20 });
  });

  it('does not cut a character in two', () => {
    const [line] = parse(['x'.repeat(99) + '😀\n'], 100);
    expect(line).toMatchObject({ text: 'x'.repeat(99), omitted: 2 });
  });
});
