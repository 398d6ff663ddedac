/** Asks what to start, and starts it. */

import { Dialog } from '@jupyterlab/apputils';
import { ReactWidget, closeIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';
import * as React from 'react';
import { SteadyDialog } from './dialog';
import { LaunchForm } from './form/body';
import { OWN_KEYS } from './form/presets';
import { LaunchState, type ILaunchOptions } from './form/state';
import { appIcon } from './icons';
import type { ISession } from './tokens';

/** What `showLaunchDialog` takes. */
export type ILaunchDialogOptions = ILaunchOptions;

/** Ask what to start, and start it. Resolves with the session, or null if people changed their mind. */
export async function showLaunchDialog(
  options: ILaunchDialogOptions
): Promise<ISession | null> {
  const dialog = new LaunchDialog(new LaunchState(options));
  try {
    await dialog.launch();
  } catch (reason) {
    if (reason !== undefined) {
      throw reason;
    }
    // The dialog was taken away: that is a "no", too.
  }
  return dialog.state.session;
}

/** Controls in which Enter means "start". In others it has a meaning of its own. */
const ENTER_STARTS = 'input:not([type="checkbox"], [type="radio"])';

const START = 1;

/**
 * Lab's dialog closes with any of its buttons. This one stays, with all that was typed, until
 * the server has started something.
 */
class LaunchDialog extends SteadyDialog<undefined> {
  constructor(readonly state: LaunchState) {
    const { trans, form } = state;
    const renderer = new Renderer(state, () => this.reject());
    super({
      title: trans.__('Start %1', form.app.title),
      body: new Body(state),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: trans.__('Start') })
      ],
      defaultButton: START,
      renderer
    });
    this._start = renderer.buttons[START];
    this.addClass('jp-sessions-launch');
    this.node.setAttribute('aria-labelledby', TITLE_ID);
    state.changed.connect(this._showBusy, this);
  }

  override dispose(): void {
    this.state.dispose();
    super.dispose();
  }

  /** A button was pressed. */
  override resolve(index: number = START): void {
    if (index === START) {
      void this._tryToStart();
    } else {
      super.resolve(index);
    }
  }

  override handleEvent(event: Event): void {
    switch (event.type) {
      case 'keydown':
        this._onKey(event as KeyboardEvent);
        return;
      case 'input':
        return; // Lab's dialog would bar the button while anything is wrong; ours says what
      case 'click':
        // A click beside it would throw away what was typed.
        if (event.target === this.node) {
          event.stopPropagation();
          return;
        }
        break;
      case 'contextmenu':
        return; // people paste with it
    }
    super.handleEvent(event);
  }

  protected override focusFirst(): void {
    const first = [...this.node.querySelectorAll<HTMLElement>(FIRST_FIELDS)].find(
      isSeen
    );
    (first ?? this._start)?.focus();
  }

  private async _tryToStart(): Promise<void> {
    if (await this.state.start()) {
      super.resolve(START);
    }
  }

  private _onKey(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const isOwn = target.closest(`.${OWN_KEYS}`) !== null;
    switch (event.key) {
      case 'Enter':
        if (!isOwn && !event.isComposing && target.matches(ENTER_STARTS)) {
          event.preventDefault();
          event.stopPropagation();
          this.resolve(START);
        }
        return;
      case 'Escape':
        if (!isOwn && !event.isComposing) {
          super.handleEvent(event);
        }
        return;
      case 'Tab':
        this._keepInside(event);
        return;
      case 'ArrowLeft':
      case 'ArrowRight':
        if (target.closest('.jp-Dialog-footer')) {
          super.handleEvent(event);
        }
        return;
      default:
        return;
    }
  }

  /** Tab goes from the last control to the first, whatever has come and gone in between. */
  private _keepInside(event: KeyboardEvent): void {
    const controls = [...this.node.querySelectorAll<HTMLElement>(CONTROLS)].filter(
      isSeen
    );
    const [from, to] = event.shiftKey
      ? [controls[0], controls.at(-1)]
      : [controls.at(-1), controls[0]];
    if (event.target === from) {
      event.preventDefault();
      to?.focus();
    }
  }

  private _showBusy({ isBusy, trans }: LaunchState): void {
    if (!this._start) {
      return;
    }
    // Not disabled, which would lose the focus.
    this._start.setAttribute('aria-disabled', String(isBusy));
    this._start.setAttribute('aria-busy', String(isBusy));
    const label = this._start.querySelector('.jp-Dialog-buttonLabel');
    if (label) {
      label.textContent = isBusy ? trans.__('Starting…') : trans.__('Start');
      label.ariaLabel = label.textContent;
    }
  }

  private readonly _start: HTMLElement | undefined;
}

const TITLE_ID = 'jp-sessions-launch-title';
const CONTROLS = 'input, select, textarea, button, a[href]';
const FIRST_FIELDS = '.jp-sessions-form-field :is(input, select, textarea, button)';

function isSeen(control: HTMLElement): boolean {
  return (
    !control.matches(':disabled') &&
    control.offsetParent !== null &&
    !(
      control instanceof HTMLInputElement &&
      control.type === 'radio' &&
      !control.checked
    )
  );
}

class Body extends ReactWidget {
  constructor(private readonly state: LaunchState) {
    super();
    this.addClass('jp-sessions-form');
  }

  protected override render(): React.JSX.Element {
    return <LaunchForm state={this.state} />;
  }
}

/** Lab's renderer wraps selects in nodes that React knows nothing of; this one leaves them. */
class Renderer extends Dialog.Renderer {
  constructor(
    private readonly state: LaunchState,
    private readonly close: () => void
  ) {
    super();
  }

  readonly buttons: HTMLElement[] = [];

  override createHeader(title: Dialog.Header): Widget {
    const { model, form, trans } = this.state;
    const header = ReactWidget.create(
      <Header
        icon={appIcon(model, form.app.name)}
        title={typeof title === 'string' ? title : ''}
        trans={trans}
        onClose={this.close}
      />
    );
    header.addClass('jp-Dialog-header');
    return header;
  }

  override createBody<T>(body: Dialog.Body<T>): Widget {
    const widget = body as unknown as Widget;
    widget.addClass('jp-Dialog-body');
    return widget;
  }

  override createButtonNode(button: Dialog.IButton): HTMLButtonElement {
    const node = super.createButtonNode(button);
    this.buttons.push(node);
    return node;
  }
}

interface IHeaderProps {
  icon: ReturnType<typeof appIcon>;
  title: string;
  trans: TranslationBundle;
  onClose: () => void;
}

function Header({ icon, title, trans, onClose }: IHeaderProps): React.JSX.Element {
  return (
    <>
      <icon.react tag="span" className="jp-sessions-launch-icon" />
      <span id={TITLE_ID} className="jp-sessions-launch-title">
        {title}
      </span>
      <button
        type="button"
        className="jp-sessions-button"
        aria-label={trans.__('Close')}
        title={trans.__('Close')}
        onClick={onClose}
      >
        <closeIcon.react tag="span" />
      </button>
    </>
  );
}
