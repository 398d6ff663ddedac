/** What the commands share: their surroundings, their arguments, and what a refusal looks like. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showErrorMessage } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Settings } from '../settings';
import type { IRequestProblem, ISessionsModel, SessionAction } from '../tokens';

export interface ICommandOptions {
  app: JupyterFrontEnd;
  model: ISessionsModel;
  settings: Settings;
  /** Shows what is written about apps; absent where nothing can. */
  rendermime?: IRenderMimeRegistry | undefined;
  trans: TranslationBundle;
  /** Show a session inside the front end; absent where there are no tabs. */
  openTab?: (id: string) => void;
  showLogs: (id: string) => void;
  /** Close what shows a session and its log. */
  closeTabs: (id: string) => void;
  /** The folder that the user looks at, relative to the server's root; absent if none. */
  currentFolder: () => string | undefined;
}

export type Args = ReadonlyPartialJSONObject;

export const ID_SCHEMA = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', description: "The session's id" } }
} as const;

export function textOf(args: Args, name: string): string {
  const value = args[name];
  return typeof value === 'string' ? value : '';
}

export function idOf(args: Args): string {
  return textOf(args, 'id');
}

export function may(model: ISessionsModel, args: Args, action: SessionAction): boolean {
  return model.get(idOf(args))?.actions.includes(action) ?? false;
}

/** Do it, and tell people if the server refuses. */
export async function attempt<T>(
  trans: TranslationBundle,
  title: string,
  work: () => Promise<T>
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    const problem = error as IRequestProblem;
    const message =
      problem.status === 0
        ? trans.__('The Jupyter server does not answer. Nothing was changed.')
        : problem.message;
    await showErrorMessage(title, message, [
      Dialog.okButton({ label: trans.__('Close') })
    ]);
    return undefined;
  }
}
