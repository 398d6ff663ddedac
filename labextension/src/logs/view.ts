/** The log of a session, live. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { moveDownIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Signal, type ISignal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import { hasEnded } from '../format';
import type { ISession, ISessionsModel } from '../tokens';
import { LogBuffer, type ILogLine } from './buffer';
import { LogEditor } from './editor';
import { LogFollower } from './follower';

/** Lines that are kept. */
const MOST = 100_000;
const MOST_COMPACT = 500;
/** Milliseconds for which a view that is hidden goes on reading. */
const PATIENCE = 10_000;
/** Milliseconds between two drawings of what is new: each lays out what is seen. */
const PACE = 100;
/** Milliseconds of a frame that drawing may take, and how many lines are tried first. */
const FRAME = 12;
const FIRST_BATCH = 1_000;

export interface ILogViewOptions {
  /** The session's. */
  id: string;
  model: ISessionsModel;
  trans: TranslationBundle;
  /** The last lines only, as a part of something else. */
  compact?: boolean;
}

/** Follows the log of a session: through its attempts, and as long as it is seen. */
export class LogView extends Widget {
  constructor(options: ILogViewOptions) {
    super();
    const { id, model, trans, compact } = options;
    this.sessionId = id;
    this._model = model;
    this._trans = trans;
    this.addClass('jp-sessions-log');
    this.toggleClass('jp-mod-compact', compact === true);

    this._notice = this._add('div', 'jp-sessions-log-notice');
    const host = this._add('div', 'jp-sessions-log-editor');
    this._editor = new LogEditor(host, {
      label: this._label(),
      trans,
      hasSearch: compact !== true
    });
    this._empty = document.createElement('p');
    this._empty.className = 'jp-sessions-log-empty';
    host.append(this._empty);
    this._follow = document.createElement('button');
    this._follow.type = 'button';
    this._follow.className = 'jp-sessions-log-follow';
    this._follow.title = trans.__('Go to the end, and stay there');
    moveDownIcon.element({ container: this._follow, label: trans.__('Follow') });
    this._follow.addEventListener('click', () => {
      this._editor.setFollowing(true);
      this._editor.focus();
    });
    host.append(this._follow);
    this._statusLine = this._add('div', 'jp-sessions-log-status');
    this._statusLine.setAttribute('role', 'status');

    const most = compact ? MOST_COMPACT : MOST;
    this._buffer = new LogBuffer(most);
    this._follower = new LogFollower(id, model, this, most);
    this._follower.statusChanged.connect(this._say, this);
    this._editor.followingChanged.connect(this._onFollowing, this);
    model.changed.connect(this._onModel, this);
    this._onFollowing();
    this._say();
  }

  readonly sessionId: string;

  get isFollowing(): boolean {
    return this._editor.isFollowing;
  }

  get isWrapping(): boolean {
    return this._isWrapping;
  }

  /** `isFollowing` or `isWrapping` is another. */
  get stateChanged(): ISignal<this, void> {
    return this._stateChanged;
  }

  /** All that it has, as text without colours. */
  get text(): string {
    return this._buffer.lines.map(line => this._textOf(line)).join('\n');
  }

  setFollowing(following: boolean): void {
    this._editor.setFollowing(following);
  }

  setWrapping(wrapping: boolean): void {
    this._isWrapping = wrapping;
    this._editor.setWrapping(wrapping);
    this._stateChanged.emit();
  }

  openSearch(): void {
    this._editor.openSearch();
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    document.removeEventListener('visibilitychange', this);
    window.clearTimeout(this._leaving);
    this._stopDrawing();
    this._follower.dispose();
    this._editor.dispose();
    super.dispose();
  }

  /** For the follower. */
  begin(session: ISession): void {
    const time = new Date(session.started ?? this._model.now);
    this._buffer.begin(
      this._trans.__('Attempt %1 · %2', session.attempt, time.toLocaleTimeString())
    );
    this._draw();
  }

  /** For the follower. */
  restart(): void {
    this._buffer.restart();
  }

  /** For the follower. */
  push(text: string): void {
    this._buffer.push(text);
    this._draw();
  }

  /** For the follower. */
  end(): void {
    this._buffer.end();
    this._draw();
  }

  handleEvent(event: Event): void {
    if (event.type === 'visibilitychange') {
      this._watch();
    }
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    document.addEventListener('visibilitychange', this);
    this._watch();
  }

  protected override onBeforeDetach(message: Message): void {
    document.removeEventListener('visibilitychange', this);
    this._watch(false);
    super.onBeforeDetach(message);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._watch();
  }

  protected override onAfterHide(message: Message): void {
    this._watch();
    super.onAfterHide(message);
  }

  protected override onResize(message: Widget.ResizeMessage): void {
    super.onResize(message);
    if (this.isVisible) {
      this._editor.resized();
    }
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this._editor.focus();
  }

  /** Read and draw while somebody can see it. */
  private _watch(
    isSeen = this.isVisible && document.visibilityState === 'visible'
  ): void {
    if (isSeen) {
      window.clearTimeout(this._leaving);
      this._leaving = undefined;
      this._follower.resume();
      this._editor.resized();
      this._draw();
    } else {
      this._stopDrawing();
      // Not at once: people go back and forth between tabs.
      this._leaving ??= window.setTimeout(() => this._follower.pause(), PATIENCE);
    }
  }

  /** Draw soon; with the next frame if there is much to be caught up with. */
  private _draw(isLate = false): void {
    if (this._drawing !== undefined || !this.isVisible) {
      return;
    }
    const wait = isLate ? 0 : this._drawn + PACE - performance.now();
    this._drawing = window.setTimeout(
      () => {
        this._frame = requestAnimationFrame(() => {
          this._drawing = undefined;
          this._drawBatch();
        });
      },
      Math.max(0, wait)
    );
  }

  private _stopDrawing(): void {
    window.clearTimeout(this._drawing);
    cancelAnimationFrame(this._frame);
    this._drawing = undefined;
  }

  private _drawBatch(): void {
    const began = (this._drawn = performance.now());
    const delta = this._buffer.take(this._editor.shown, this._batch);
    this._editor.apply(delta, line => this._textOf(line));
    const took = performance.now() - began;
    if (took > FRAME) {
      this._batch = Math.max(100, Math.floor(this._batch / 2));
    } else if (delta.hasMore && took < FRAME / 2) {
      this._batch *= 2;
    }
    this._say();
    if (delta.hasMore) {
      this._draw(true);
    }
  }

  private _textOf({ text, omitted }: ILogLine): string {
    return omitted === 0
      ? text
      : `${text} ${this._trans._n('… (%1 more character)', '… (%1 more characters)', omitted)}`;
  }

  private _onModel(): void {
    const label = this._label();
    if (label !== this._labelled) {
      this._labelled = label;
      this._editor.setLabel(label);
    }
    this._say();
  }

  private _onFollowing(): void {
    this._follow.hidden = this._editor.isFollowing;
    this._stateChanged.emit();
  }

  private _label(): string {
    const name = this._model.get(this.sessionId)?.name ?? this.sessionId;
    return this._trans.__('Log of %1', name);
  }

  /** Say in words how things stand. */
  private _say(): void {
    const isEmpty = this._buffer.lines.length === 0;
    const sentence = this._sentence(isEmpty);
    setText(this._empty, isEmpty ? sentence : '');
    setText(this._statusLine, isEmpty ? '' : sentence);
    setText(
      this._notice,
      this._buffer.lines.length >= MOST
        ? this._trans.__('Only the last %1 lines are shown.', MOST.toLocaleString())
        : ''
    );
  }

  private _sentence(isEmpty: boolean): string {
    const trans = this._trans;
    const session = this._model.get(this.sessionId);
    switch (this._follower.status) {
      case 'broken':
        return trans.__('The connection was lost. Trying again…');
      case 'refused':
        return this._follower.problem;
      case 'gone':
        return trans.__('The session has been forgotten, and its log with it.');
      case 'ended':
        return isEmpty
          ? trans.__('The session has ended without a word.')
          : trans.__('The session has ended.');
      case 'paused':
        return '';
      case 'reading':
        if (isEmpty) {
          return session?.state === 'queued'
            ? trans.__('Its log begins when the app starts.')
            : trans.__('Waiting for the first line…');
        }
        // Before the stream is at its end: it waits a moment for a last line.
        return session && hasEnded(session) && !session.actions.includes('stop')
          ? trans.__('The session has ended.')
          : '';
    }
  }

  private _add(tag: string, className: string): HTMLElement {
    const element = document.createElement(tag);
    element.className = className;
    this.node.append(element);
    return element;
  }

  private readonly _model: ISessionsModel;
  private readonly _trans: TranslationBundle;
  private readonly _buffer: LogBuffer;
  private readonly _editor: LogEditor;
  private readonly _follower: LogFollower;
  private readonly _notice: HTMLElement;
  private readonly _empty: HTMLElement;
  private readonly _follow: HTMLButtonElement;
  private readonly _statusLine: HTMLElement;
  private readonly _stateChanged = new Signal<this, void>(this);
  private _labelled = '';
  private _isWrapping = true;
  /** The timer, and then the frame, that draws next. */
  private _drawing: number | undefined;
  private _frame = 0;
  private _drawn = -Infinity;
  private _batch = FIRST_BATCH;
  private _leaving: number | undefined;
}

function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
  element.hidden = text === '';
}
