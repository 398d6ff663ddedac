/** What every part of a session's tab needs. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ISessionsModel } from '../tokens';

export interface ITabContext {
  /** The session's. */
  readonly id: string;
  readonly model: ISessionsModel;
  readonly commands: CommandRegistry;
  readonly trans: TranslationBundle;
}
