/** A line above the app, when something is not as it should be. */

import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';
import { CommandIDs } from '../commandids';
import { useSignal } from '../components/hooks';
import { ago } from '../format';
import type { ITabContext } from './context';
import type { SessionFrame } from './frame';

export class Banner extends ReactWidget {
  constructor(
    private readonly context: ITabContext,
    private readonly frame: SessionFrame
  ) {
    super();
    this.addClass('jp-sessions-banner');
    this.node.setAttribute('role', 'status');
  }

  protected override render(): React.JSX.Element {
    return <Content {...this.context} frame={this.frame} />;
  }
}

function Content(
  props: ITabContext & { frame: SessionFrame }
): React.JSX.Element | null {
  const { id, model, commands, trans, frame } = props;
  const since = useSignal(
    model.changed,
    () => model.get(id)?.unreachable_since ?? null
  );
  const isOffline = useSignal(model.changed, () => model.connection === 'offline');
  const isForeign = useSignal(frame.loaded, () => frame.isForeign);
  const when = useSignal(model.ticked, () =>
    since ? ago(since, model.now, trans) : ''
  );
  if (isOffline) {
    return (
      <p>
        {trans.__(
          'The Jupyter server does not answer. The session goes on without it.'
        )}
      </p>
    );
  }
  if (since) {
    return (
      <p>
        {trans.__(
          'What looks after this session cannot be asked since %1. It may well be running.',
          when
        )}
      </p>
    );
  }
  if (isForeign) {
    return (
      <p>
        <span>
          {trans.__(
            'If there is nothing to be seen below, the app does not let itself be shown here.'
          )}
        </span>
        <button
          type="button"
          className="jp-sessions-link"
          onClick={() => void commands.execute(CommandIDs.openInBrowser, { id })}
        >
          {commands.label(CommandIDs.openInBrowser, { id })}
        </button>
      </p>
    );
  }
  return null;
}
