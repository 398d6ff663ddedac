/** Asks whether a project's app may run, and shows what that would be. */

import { Dialog, showErrorMessage } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';
import { SteadyDialog } from './dialog';
import { bytes } from './format';
import type { IRequestProblem, ISessionsModel, ITrust } from './tokens';
import { visible } from './visible';

export interface ITrustOptions {
  model: ISessionsModel;
  trans: TranslationBundle;
  app: string;
  /** A folder of the project. */
  folder: string | undefined;
}

/**
 * Show what the app runs, and trust it if people say so.
 *
 * @returns whether it is trusted
 * @throws RequestProblem
 */
export async function askForTrust(options: ITrustOptions): Promise<boolean> {
  const { model, trans, app, folder } = options;
  for (;;) {
    const seen = await model.transport.trustOf(app, folder);
    const { button } = await new TrustDialog(seen, trans).launch();
    if (!button.accept) {
      return false;
    }
    try {
      await model.trust(app, seen.digest, folder);
      return true;
    } catch (error) {
      const problem = error as IRequestProblem;
      if (problem.reason !== 'changed') {
        throw error;
      }
      await showErrorMessage(trans.__('It has changed'), problem.message, [
        Dialog.okButton({ label: trans.__('Look again') })
      ]);
    }
  }
}

class TrustDialog extends SteadyDialog<unknown> {
  constructor(seen: ITrust, trans: TranslationBundle) {
    super({
      title: trans.__('Trust “%1”?', visible(seen.title)),
      body: new Body(seen, trans),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.warnButton({ label: trans.__('Trust') })
      ],
      defaultButton: 0
    });
    this.addClass('jp-sessions-trust');
  }

  override handleEvent(event: Event): void {
    // Enter opens a file there. For Lab's dialog it would be a button.
    const inBody = (event.target as HTMLElement).closest('summary, pre') !== null;
    if (
      event.type === 'keydown' &&
      inBody &&
      (event as KeyboardEvent).key === 'Enter'
    ) {
      event.stopPropagation();
      return;
    }
    super.handleEvent(event);
  }
}

class Body extends ReactWidget {
  constructor(
    private readonly seen: ITrust,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-sessions-trust-body');
  }

  protected override render(): React.JSX.Element {
    return <Seen seen={this.seen} trans={this.trans} />;
  }
}

interface ISeenProps {
  seen: ITrust;
  trans: TranslationBundle;
}

function Seen({ seen, trans }: ISeenProps): React.JSX.Element {
  return (
    <>
      <p>
        {trans.__('This app runs commands as you. It comes from the project')}{' '}
        <code>{visible(seen.project)}</code>
      </p>
      {seen.state === 'changed' && (
        <p className="jp-sessions-form-notice" role="note">
          {trans.__('It has changed since you trusted it.')}
        </p>
      )}
      <h3>{trans.__('Command')}</h3>
      <pre tabIndex={0} aria-label={trans.__('Command')}>
        {seen.command.length > 0
          ? seen.command.map(quoted).join(' ')
          : trans.__('That of the app %1', visible(seen.extends))}
      </pre>
      <h3>{trans.__('Files')}</h3>
      <ul>
        {seen.files.map(file => (
          <li key={file.path}>
            <details>
              <summary>
                <code>{visible(file.path)}</code>{' '}
                <span className="jp-sessions-trust-size">
                  {bytes(file.size)}
                  {file.executable && `, ${trans.__('executable')}`}
                </span>
              </summary>
              <pre tabIndex={0} aria-label={visible(file.path)}>
                {file.text === null
                  ? trans.__('This is no text, or too long to be shown.')
                  : visible(file.text)}
              </pre>
            </details>
          </li>
        ))}
      </ul>
      <p className="jp-sessions-form-about">
        {trans.__(
          'Trust is for these files as they are now: you are asked again when any of them has changed. What the command uses elsewhere in the project is not looked at.'
        )}
      </p>
    </>
  );
}

/** One element of a command: in quotes where its ends would not be seen. */
function quoted(element: string): string {
  return /^[^\s"'\\]+$/.test(element)
    ? visible(element)
    : visible(JSON.stringify(element));
}
