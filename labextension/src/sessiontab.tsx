import { MainAreaWidget, IFrame } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ISessionsModel } from './tokens';

export class SessionTab extends MainAreaWidget {
  constructor(options: {
    id: string;
    model: ISessionsModel;
    commands: CommandRegistry;
    trans: TranslationBundle;
  }) {
    super({ content: new IFrame() });
    this.sessionId = options.id;
  }
  readonly sessionId: string;
}
