/** How many sessions run, in the status bar. */

import { GroupItem, TextItem } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';
import { CommandIDs } from './commandids';
import { useSignal } from './components/hooks';
import { hasEnded, isComing } from './format';
import { sessionsIcon } from './icons';
import type { ISessionsModel } from './tokens';

export class SessionsStatus extends ReactWidget {
  constructor(
    private readonly model: ISessionsModel,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-sessions-status');
  }

  /** Whether there is anything to show. */
  get isUseful(): boolean {
    return this.model.sessions.some(session => !hasEnded(session));
  }

  protected override render(): React.JSX.Element {
    return <Status model={this.model} commands={this.commands} trans={this.trans} />;
  }
}

function Status(props: {
  model: ISessionsModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { model, commands, trans } = props;
  const open = useSignal(
    model.changed,
    () => model.sessions.filter(session => !hasEnded(session)).length
  );
  const coming = useSignal(model.changed, () => model.sessions.filter(isComing).length);
  const text = trans._n('%1 session', '%1 sessions', open);
  return (
    <button
      type="button"
      title={
        coming > 0
          ? trans._n(
              '%1 session is starting. Show all',
              '%1 sessions are starting. Show all',
              coming
            )
          : trans.__('Show all sessions')
      }
      onClick={() => void commands.execute(CommandIDs.showPanel)}
    >
      <GroupItem spacing={4}>
        <sessionsIcon.react tag="span" stylesheet="statusBar" />
        <TextItem source={coming > 0 ? `${text}…` : text} />
      </GroupItem>
    </button>
  );
}
