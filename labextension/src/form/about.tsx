/** What is written about an app: its README, shown when people ask for it. */

import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { caretRightIcon } from '@jupyterlab/ui-components';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import * as React from 'react';
import { idOf, useForm } from './context';

const MARKDOWN = 'text/markdown';

export function About(): React.JSX.Element | null {
  const { state } = useForm();
  const { trans, form, rendermime } = state;
  const [isOpen, setOpen] = React.useState(false);
  const [problem, setProblem] = React.useState('');
  const place = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    if (!isOpen || !rendermime) {
      return;
    }
    let shown: Widget | undefined;
    let isGone = false;
    setProblem('');
    state
      .readme()
      .then(text => rendered(rendermime, text))
      .then(widget => {
        if (isGone || !place.current) {
          widget.dispose();
          return;
        }
        shown = widget;
        Widget.attach(widget, place.current);
      })
      .catch((error: unknown) => {
        setProblem(error instanceof Error ? error.message : String(error));
      });
    return () => {
      isGone = true;
      if (shown?.isAttached) {
        MessageLoop.sendMessage(shown, Widget.Msg.BeforeDetach);
        shown.node.remove();
        MessageLoop.sendMessage(shown, Widget.Msg.AfterDetach);
      }
      shown?.dispose();
    };
  }, [isOpen, rendermime, state, form.app.name]);
  if (!form.app.readme || !rendermime) {
    return null;
  }
  return (
    <div className="jp-sessions-form-readme">
      <button
        type="button"
        className="jp-sessions-form-fold"
        aria-expanded={isOpen}
        aria-controls={idOf('about')}
        onClick={() => setOpen(!isOpen)}
      >
        <caretRightIcon.react tag="span" />
        {trans.__('About this app')}
      </button>
      <div
        id={idOf('about')}
        ref={place}
        hidden={!isOpen}
        role="region"
        aria-label={trans.__('About this app')}
        tabIndex={isOpen ? 0 : -1}
      />
      {problem && (
        <p className="jp-sessions-form-notice" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

/** Not trusted: Lab's sanitizer leaves no script and no style in it. */
async function rendered(
  rendermime: IRenderMimeRegistry,
  text: string
): Promise<Widget> {
  const renderer = rendermime.createRenderer(MARKDOWN);
  await renderer.renderModel(
    rendermime.createModel({ data: { [MARKDOWN]: text }, trusted: false })
  );
  return renderer;
}
