/** What is below the toolbar of a session's tab: the app, or what there is instead. */

import type { Message } from '@lumino/messaging';
import { Signal, type ISignal } from '@lumino/signaling';
import { Panel } from '@lumino/widgets';
import { LogView } from '../logs';
import { Banner } from './banner';
import type { ITabContext } from './context';
import { SessionFrame } from './frame';
import { Pane } from './pane';
import { isRestarting, sceneOf } from './scene';

/** Shows the scene that the session's state asks for. */
export class Stage extends Panel {
  constructor(
    private readonly context: ITabContext,
    close: () => void
  ) {
    super();
    const { model, trans } = context;
    this.addClass('jp-sessions-stage');
    this._frame = new SessionFrame(trans);
    this._frame.focusMoved.connect((_, isInside) => this._focusMoved.emit(isInside));
    this._frame.loaded.connect(this._onLoaded, this);
    this._pane = new Panel();
    this._pane.addClass('jp-sessions-pane');
    this._pane.addWidget(new Pane({ ...context, since: () => this._since, close }));
    const body = new Panel();
    body.addClass('jp-sessions-stage-body');
    body.addWidget(this._frame);
    body.addWidget(this._pane);
    this.addWidget(new Banner(context, this._frame));
    this.addWidget(body);
    model.changed.connect(this._refresh, this);
    this._refresh();
  }

  /** The keyboard's focus went into the app (true), or out of it. */
  get focusMoved(): ISignal<this, boolean> {
    return this._focusMoved;
  }

  override dispose(): void {
    cancelAnimationFrame(this._loading);
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._refresh();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._refresh(); // an app is only loaded once it is looked at
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this._focus();
  }

  private _refresh(): void {
    const { id, model, trans } = this.context;
    const session = model.get(id);
    const scene = sceneOf(model, id);
    const hadFocus = this.node.contains(document.activeElement);

    if (session && session.attempt !== this._attempt) {
      this._since =
        session.attempt === 1
          ? Date.parse(session.created)
          : Date.parse(session.started ?? '') || model.now;
      this._attempt = session.attempt;
    }
    const hasApp = scene === 'running' || scene === 'stopping' || scene === 'suspended';
    if (!session || !hasApp) {
      this._frame.clear();
    } else {
      this._frame.setLabel(session.name);
      if (this._frame.attempt !== session.attempt) {
        this._frame.clear();
        if (scene === 'running' && this.isVisible) {
          this._loadSoon();
        }
      }
      this._frame.cover(
        scene === 'stopping'
          ? isRestarting(session)
            ? trans.__('Restarting %1…', session.name)
            : trans.__('Stopping %1…', session.name)
          : scene === 'suspended'
            ? trans.__('%1 is suspended.', session.name)
            : ''
      );
    }
    const hasFrame = this._frame.attempt !== 0 || scene === 'running';
    this._frame.setHidden(!hasFrame);
    this._pane.setHidden(hasFrame);
    this._showLog(
      !hasFrame && (scene === 'coming' || scene === 'failed' || scene === 'stopping')
    );
    if (hadFocus && !isWithin(document.activeElement, this.node)) {
      this._focus();
    }
    this.toggleClass('jp-mod-narrative', !hasFrame);
  }

  /** While tabs are restored each is on top for a moment: only what stays there is loaded. */
  private _loadSoon(): void {
    cancelAnimationFrame(this._loading);
    this._loading = requestAnimationFrame(() => {
      const { id, model } = this.context;
      const session = model.get(id);
      if (session && this.isVisible && sceneOf(model, id) === 'running') {
        this._frame.load(session.url, session.attempt);
      }
    });
  }

  private _showLog(isWanted: boolean): void {
    if (isWanted && !this._log) {
      this._log = new LogView({ ...this.context, compact: true });
      this._pane.addWidget(this._log);
    } else if (!isWanted && this._log) {
      this._log.dispose();
      this._log = null;
    }
  }

  private _onLoaded(): void {
    // Whoever waited here can type at once.
    if (document.activeElement === this.node) {
      this._focus();
    }
  }

  private _focus(): void {
    if (this._frame.attempt !== 0) {
      this._frame.enter();
    } else if (!this.node.contains(document.activeElement)) {
      this.node.focus();
    }
  }

  private _attempt = 0;
  /** When the wait for the present attempt began: epoch milliseconds. */
  private _since = 0;
  private _log: LogView | null = null;
  /** The animation frame in which the app is loaded. */
  private _loading = 0;
  private readonly _frame: SessionFrame;
  private readonly _pane: Panel;
  private readonly _focusMoved = new Signal<this, boolean>(this);
}

/** Whether `element` is inside of `node`, and can be seen. */
function isWithin(element: Element | null, node: HTMLElement): boolean {
  return (
    element !== null && node.contains(element) && element.getClientRects().length > 0
  );
}
