/** The app of a running session, in a frame. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { Signal, type ISignal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import { watchFocus } from './focus';

/** What desktops and editors need: the frame is of Jupyter's own origin, and trusted like it. */
const ALLOWED = [
  'autoplay',
  'camera',
  'clipboard-read',
  'clipboard-write',
  'display-capture',
  'fullscreen',
  'microphone'
];
/** Milliseconds after which a page that still loads something is shown nevertheless. */
const PATIENCE = 8_000;

/** Holds one frame, under a veil as long as there is nothing in it to be seen. */
export class SessionFrame extends Widget {
  constructor(private readonly trans: TranslationBundle) {
    super();
    this.addClass('jp-sessions-frame');
    this._veil = document.createElement('div');
    this._veil.className = 'jp-sessions-veil';
    this._veil.setAttribute('role', 'status');
    this.node.append(this._veil);
    this._drawVeil();
  }

  /** The attempt whose app it shows; 0 if none. */
  get attempt(): number {
    return this._attempt;
  }

  /** Whether what it shows is not of Jupyter's origin: a page of somebody else, or nothing. */
  get isForeign(): boolean {
    return this._isForeign;
  }

  /** The keyboard's focus went into it (true), or out of it. */
  get focusMoved(): ISignal<this, boolean> {
    return this._focusMoved;
  }

  /** A page has been loaded. */
  get loaded(): ISignal<this, void> {
    return this._loaded;
  }

  /** What the frame is called by screen readers. */
  setLabel(label: string): void {
    this._label = label;
    if (this._frame) {
      this._frame.title = label;
    }
    this._drawVeil();
  }

  /** Show the app of `attempt`, which is at `url`. */
  load(url: string, attempt: number): void {
    this.clear();
    this._attempt = attempt;
    this._place = url;
    if (this.isAttached) {
      this._make();
    }
  }

  /** Show nothing. */
  clear(): void {
    this._attempt = 0;
    this._place = '';
    this._remove();
  }

  /** Cover the app, and say why; an empty `text` uncovers it. */
  cover(text: string): void {
    if (text !== this._cover) {
      this._cover = text;
      this._drawVeil();
    }
  }

  /** Give the app the keyboard. */
  enter(): void {
    // Not the element's `focus`: it would stay the active one while other frames are in use.
    this._frame?.contentWindow?.focus();
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._remove();
      super.dispose();
    }
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this._place && !this._frame) {
      this._make();
    }
  }

  protected override onBeforeDetach(message: Message): void {
    // Browsers load a frame again that is put elsewhere in the page: at the place where it began.
    // So it goes, and another one begins where this one was.
    this._place = this._whereabouts();
    this._remove();
    super.onBeforeDetach(message);
  }

  private _make(): void {
    const frame = document.createElement('iframe');
    frame.title = this._label;
    frame.allow = ALLOWED.join('; ');
    frame.addEventListener('load', () => this._onLoad());
    frame.src = this._place;
    this._watch = watchFocus(frame, {
      onEnter: () => this._focusMoved.emit(true),
      onLeave: () => this._focusMoved.emit(false)
    });
    this._frame = frame;
    this._isLoading = true;
    this._drawVeil();
    this.node.prepend(frame);
    this._waitForPage(frame);
  }

  private _remove(): void {
    window.clearTimeout(this._waiting);
    this._watch?.dispose();
    this._watch = null;
    this._frame?.remove();
    this._frame = null;
    this._isLoading = this._isForeign = false;
  }

  private _onLoad(): void {
    this._isForeign = this._document === null;
    this._unveil();
    this._loaded.emit();
  }

  /** A picture that does not come keeps a page from being loaded, but not from being used. */
  private _waitForPage(frame: HTMLIFrameElement): void {
    this._waiting = window.setTimeout(() => {
      const page = this._document;
      if (page && page.URL !== 'about:blank' && page.readyState !== 'loading') {
        this._unveil();
      } else if (frame === this._frame) {
        this._waitForPage(frame);
      }
    }, PATIENCE);
  }

  private _unveil(): void {
    window.clearTimeout(this._waiting);
    this._isLoading = false;
    this._drawVeil();
  }

  private _drawVeil(): void {
    const text =
      this._cover || (this._isLoading ? this.trans.__('Loading %1…', this._label) : '');
    this._veil.hidden = text === '';
    this._veil.textContent = text;
    this._veil.classList.toggle('jp-mod-opaque', this._isLoading || !this._frame);
    // What is covered cannot be reached with the Tab key either.
    this._frame?.toggleAttribute('inert', this._cover !== '');
  }

  /** The page in the frame; null if it is of another origin. */
  private get _document(): Document | null {
    return this._frame?.contentDocument ?? null;
  }

  /** Where somebody has gone within the app. */
  private _whereabouts(): string {
    const url = this._document?.URL ?? '';
    const began = new URL(this._place || '.', window.location.href);
    const prefix = began.origin + began.pathname;
    return url.startsWith(prefix) ? url : this._place;
  }

  private _attempt = 0;
  private _cover = '';
  private _label = '';
  /** The URL that the next frame begins with. */
  private _place = '';
  private _isLoading = false;
  private _isForeign = false;
  private _frame: HTMLIFrameElement | null = null;
  private _waiting: number | undefined;
  private _watch: IDisposable | null = null;
  private readonly _veil: HTMLElement;
  private readonly _focusMoved = new Signal<this, boolean>(this);
  private readonly _loaded = new Signal<this, void>(this);
}
