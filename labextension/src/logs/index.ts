import { MainAreaWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { Widget } from '@lumino/widgets';
import type { ISessionsModel } from '../tokens';

export class LogView extends Widget {
  constructor(options: {
    id: string;
    model: ISessionsModel;
    trans: TranslationBundle;
  }) {
    super();
    this.sessionId = options.id;
  }
  readonly sessionId: string;
}

export function createLogTab(options: {
  id: string;
  model: ISessionsModel;
  trans: TranslationBundle;
  commands: CommandRegistry;
}): MainAreaWidget<LogView> {
  return new MainAreaWidget({ content: new LogView(options) });
}
