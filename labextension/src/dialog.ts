/** Lab's dialog, for bodies that React draws: the keyboard's focus stays where people put it. */

import { Dialog } from '@jupyterlab/apputils';
import type { Message } from '@lumino/messaging';

/**
 * Lab's dialog gives the focus to its button once an idle browser has told it that the body is
 * drawn, and whenever something outside has taken it. People may long be in a field then: their
 * Enter would press that button.
 */
export class SteadyDialog<T> extends Dialog<T> {
  /** Go to where people begin. Lab has given the focus to the default button just now. */
  protected focusFirst(): void {
    // That is where they begin.
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    void this.ready.then(() => {
      this._isReady = true;
      if (this._chosen && this.node.contains(this._chosen)) {
        this._chosen.focus();
      } else {
        this.focusFirst();
      }
    });
  }

  /** What takes the focus away, as Lab's palette does when it closes, gives it back. */
  protected override _evtFocus(event: FocusEvent): void {
    const target = event.target;
    if (target instanceof HTMLElement && this.node.contains(target)) {
      if (this._isReady || !target.closest('.jp-Dialog-footer')) {
        this._chosen = target;
      }
      return;
    }
    if (this._chosen && this.node.contains(this._chosen)) {
      event.stopPropagation();
      this._chosen.focus();
    } else {
      super._evtFocus(event);
      this.focusFirst();
    }
  }

  /** Where the focus was last, by what people did. */
  private _chosen: HTMLElement | null = null;
  private _isReady = false;
}
