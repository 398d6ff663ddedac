/** Shows lines in CodeMirror, which JupyterLab shares: quick with any number of them. */

import {
  closeSearchPanel,
  openSearchPanel,
  search,
  searchKeymap
} from '@codemirror/search';
import {
  Compartment,
  EditorSelection,
  EditorState,
  StateEffect,
  StateField,
  Text,
  type Range
} from '@codemirror/state';
import { Decoration, EditorView, drawSelection, keymap } from '@codemirror/view';
import type { DecorationSet } from '@codemirror/view';
import { jupyterTheme } from '@jupyterlab/codemirror';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';
import type { IDelta, ILogLine } from './buffer';
import { decorationOf } from './looks';

/** Milliseconds after somebody turned a wheel or pressed a key in which scrolling is theirs. */
const INTENT = 400;
/** Milliseconds that it takes the editor to find its place after a change. */
const SETTLING = 150;
const TOUCHES = ['wheel', 'touchmove', 'keydown', 'pointerdown'];
/** Pixels from the end that still are the end. */
const NEAR = 4;

/** Below `tail` everything is other than before; above `head` nothing is left. */
interface IChange {
  readonly head: number;
  readonly tail: number;
  readonly added: readonly Range<Decoration>[];
}

const changeLooks = StateEffect.define<IChange>();

const looks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(set, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(changeLooks)) {
        const { head, tail, added } = effect.value;
        if (tail < transaction.startState.doc.length) {
          set = set.update({ filterFrom: tail, filter: from => from < tail });
        }
        if (head > 0) {
          set = set.update({ filterTo: head, filter: from => from >= head });
        }
        return set.map(transaction.changes).update({ add: added });
      }
    }
    return set.map(transaction.changes);
  },
  provide: field => EditorView.decorations.from(field)
});

export class LogEditor implements IDisposable {
  /**
   * @param label what screen readers call it
   */
  constructor(
    host: HTMLElement,
    options: { label: string; trans: TranslationBundle; hasSearch: boolean }
  ) {
    const { label, trans, hasSearch } = options;
    this._view = new EditorView({
      parent: host,
      extensions: [
        jupyterTheme,
        EditorState.readOnly.of(true),
        // No caret, and no keyboard of a telephone; but the keys reach it, and scroll it.
        EditorView.editable.of(false),
        this._label.of(EditorView.contentAttributes.of(labelled(label))),
        drawSelection(),
        looks,
        this._wrapping.of(EditorView.lineWrapping),
        hasSearch ? search({ top: true }) : [],
        keymap.of([
          // The browser would go to where the end was when the key was pressed.
          ...['End', 'Mod-End'].map(key => ({ key, run: () => this._follow() })),
          {
            key: 'Mod-a',
            run: view => {
              view.dispatch({
                selection: EditorSelection.single(0, view.state.doc.length)
              });
              return true;
            }
          },
          ...(hasSearch ? searchKeymap.filter(({ key }) => SEARCH_KEYS.has(key)) : [])
        ]),
        EditorState.phrases.of(phrases(trans)),
        EditorView.updateListener.of(update => {
          const isTheirs = update.transactions.some(each => each.isUserEvent('select'));
          if (isTheirs && !update.state.selection.main.empty) {
            // A match that was found, or text to be copied, is not to move away.
            this.setFollowing(false);
          }
        })
      ]
    });
    const { scrollDOM } = this._view;
    for (const event of TOUCHES) {
      scrollDOM.addEventListener(event, this, { passive: true });
    }
    scrollDOM.addEventListener('scroll', this, { passive: true });
    window.addEventListener('pointerup', this);
    window.addEventListener('pointercancel', this);
  }

  /** Whether the end stays in view. */
  get isFollowing(): boolean {
    return this._isFollowing;
  }

  get followingChanged(): ISignal<this, void> {
    return this._followingChanged;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      window.removeEventListener('pointerup', this);
      window.removeEventListener('pointercancel', this);
      this._view.destroy();
      Signal.clearData(this);
    }
  }

  /** How many lines it shows. */
  get shown(): number {
    return this._shown;
  }

  setFollowing(following: boolean): void {
    if (following) {
      this._toEnd();
    } else if (this._isAtEnd) {
      // There, the editor would stay at the end by itself.
      this._view.scrollDOM.scrollTop -= 2 * NEAR;
    }
    if (following !== this._isFollowing) {
      this._isFollowing = following;
      this._followingChanged.emit();
    }
  }

  setWrapping(wrapping: boolean): void {
    this._moved = performance.now();
    this._view.dispatch({
      effects: this._wrapping.reconfigure(wrapping ? EditorView.lineWrapping : [])
    });
    this._keepUp();
  }

  setLabel(label: string): void {
    this._view.dispatch({
      effects: this._label.reconfigure(EditorView.contentAttributes.of(labelled(label)))
    });
  }

  openSearch(): void {
    openSearchPanel(this._view);
  }

  closeSearch(): void {
    closeSearchPanel(this._view);
  }

  focus(): void {
    this._view.focus();
  }

  /** The place that it has is another one, or it is seen again. */
  resized(): void {
    this._moved = performance.now();
    this._view.requestMeasure();
    this._keepUp();
  }

  /**
   * Show what is new.
   *
   * @param textOf what is shown of a line: all of it and, if it was too long, a word about that
   */
  apply({ dropped, kept, lines }: IDelta, textOf: (line: ILogLine) => string): void {
    const { doc } = this._view.state;
    if (dropped === 0 && kept === this._shown && lines.length === 0) {
      return;
    }
    const isFresh = kept === 0;
    const head = isFresh || dropped === 0 ? 0 : doc.line(dropped + 1).from;
    const tail = isFresh ? 0 : doc.line(dropped + kept).to;
    const added: Range<Decoration>[] = [];
    const texts: string[] = [];
    let at = isFresh ? 0 : tail - head + 1;
    for (const line of lines) {
      const text = textOf(line);
      addLooks(added, line, at, text);
      texts.push(text);
      at += text.length + 1;
    }
    if (!isFresh && texts.length > 0) {
      texts.unshift(''); // a line break first
    }
    this._moved = performance.now();
    this._view.dispatch({
      changes: [
        { from: 0, to: head },
        {
          from: tail,
          to: doc.length,
          insert: texts.length > 0 ? Text.of(texts) : Text.empty
        }
      ],
      effects: changeLooks.of({ head, tail, added })
    });
    this._shown = kept + lines.length;
    this._keepUp();
  }

  private _follow(): true {
    this.setFollowing(true);
    return true;
  }

  /** Tells whose doing it is that the text scrolls. */
  handleEvent(event: Event): void {
    switch (event.type) {
      case 'scroll':
        this._onScroll();
        break;
      case 'pointerup':
      case 'pointercancel':
        this._isHeld = false;
        break;
      default:
        this._isHeld = event.type === 'pointerdown';
        this._touched = performance.now();
    }
  }

  private _keepUp(): void {
    if (this._isFollowing && !this._isHeld) {
      this._toEnd();
    }
  }

  private _toEnd(): void {
    this._view.requestMeasure({
      key: this,
      read: view => view.scrollDOM.scrollHeight - view.scrollDOM.clientHeight,
      write: (top, view) => {
        view.scrollDOM.scrollTop = top;
      }
    });
  }

  private get _isAtEnd(): boolean {
    const { scrollTop, scrollHeight, clientHeight } = this._view.scrollDOM;
    return scrollTop + clientHeight >= scrollHeight - NEAR;
  }

  private _onScroll(): void {
    if (this._view.scrollDOM.clientHeight === 0) {
      return; // it is hidden
    }
    const now = performance.now();
    if (this._isAtEnd) {
      if (!this._isFollowing) {
        this._isFollowing = true;
        this._followingChanged.emit();
      }
    } else if (
      this._isHeld ||
      now - this._touched < INTENT ||
      now - this._moved > SETTLING
    ) {
      this.setFollowing(false);
    } else {
      this._keepUp();
    }
  }

  private _isDisposed = false;
  private _isFollowing = true;
  private _shown = 0;
  /** When somebody last did something that may scroll, and whether they still do. */
  private _touched = -Infinity;
  private _isHeld = false;
  /** When the editor last had a reason to scroll by itself. */
  private _moved = -Infinity;
  private readonly _wrapping = new Compartment();
  private readonly _label = new Compartment();
  private readonly _followingChanged = new Signal<this, void>(this);
  private readonly _view: EditorView;
}

const SEARCH_KEYS = new Set<string | undefined>(['Mod-f', 'F3', 'Mod-g', 'Escape']);

function labelled(label: string): { [name: string]: string } {
  return { 'aria-label': label, tabindex: '0' };
}

function addLooks(
  added: Range<Decoration>[],
  line: ILogLine,
  at: number,
  text: string
): void {
  const whole = line.isMark
    ? 'jp-sessions-log-mark'
    : text.startsWith('[jupyter-sessions] ')
      ? 'jp-sessions-log-note'
      : '';
  if (whole && text !== '') {
    added.push(Decoration.mark({ class: whole }).range(at, at + text.length));
  }
  for (const { from, to, look } of line.runs) {
    added.push(decorationOf(look).range(at + from, at + to));
  }
  if (text.length > line.text.length) {
    added.push(OMITTED.range(at + line.text.length, at + text.length));
  }
}

const OMITTED = Decoration.mark({ class: 'jp-sessions-log-note' });

/** What CodeMirror's search says. */
function phrases(trans: TranslationBundle): { [phrase: string]: string } {
  return {
    Find: trans.__('Find'),
    next: trans.__('Next'),
    previous: trans.__('Previous'),
    all: trans.__('Select All'),
    'match case': trans.__('Match case'),
    regexp: trans.__('Regular expression'),
    'by word': trans.__('Whole words'),
    close: trans.__('Close'),
    'current match': trans.__('Current match'),
    'on line': trans.__('on line')
  };
}
