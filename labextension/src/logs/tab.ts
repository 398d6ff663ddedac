/** A log in a tab of its own. */

import { Clipboard, MainAreaWidget, showErrorMessage } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  Toolbar,
  ToolbarButton,
  copyIcon,
  downloadIcon,
  launchIcon,
  listIcon,
  searchIcon
} from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { CommandIDs } from '../commandids';
import type { IRequestProblem, ISessionsModel } from '../tokens';
import { StateItem } from '../tab/stateitem';
import { LineParser } from './ansi';
import { LogView } from './view';

/** As many lines as the server gives. */
const ALL = 100_000;

/** Make a tab for the log of session `id`. */
export function createLogTab(options: {
  id: string;
  model: ISessionsModel;
  trans: TranslationBundle;
  commands: CommandRegistry;
}): MainAreaWidget<LogView> {
  const { id, model, trans, commands } = options;
  const view = new LogView({ id, model, trans });
  const tab = new MainAreaWidget({ content: view });
  const { toolbar } = tab;
  tab.addClass('jp-sessions-logTab');
  toolbar.node.setAttribute('aria-label', trans.__('Log toolbar'));

  const follow = new ToolbarButton({
    label: trans.__('Follow'),
    tooltip: trans.__('Stay at the end'),
    onClick: () => view.setFollowing(!view.isFollowing)
  });
  const wrap = new ToolbarButton({
    label: trans.__('Wrap'),
    tooltip: trans.__('Break long lines'),
    onClick: () => view.setWrapping(!view.isWrapping)
  });
  const showState = (): void => {
    follow.pressed = view.isFollowing;
    wrap.pressed = view.isWrapping;
  };
  view.stateChanged.connect(showState);
  showState();

  toolbar.addItem('follow', follow);
  toolbar.addItem('wrap', wrap);
  toolbar.addItem(
    'search',
    new ToolbarButton({
      icon: searchIcon,
      tooltip: trans.__('Search'),
      onClick: () => view.openSearch()
    })
  );
  toolbar.addItem(
    'copy',
    new ToolbarButton({
      icon: copyIcon,
      tooltip: trans.__('Copy everything'),
      onClick: () => Clipboard.copyToSystem(view.text)
    })
  );
  toolbar.addItem(
    'download',
    new ToolbarButton({
      icon: downloadIcon,
      tooltip: trans.__('Download the log as a file'),
      onClick: () => void download(id, model, trans)
    })
  );
  toolbar.addItem('spacer', Toolbar.createSpacerItem());
  toolbar.addItem('state', new StateItem({ id, model, trans, commands }));
  const open = new ToolbarButton({
    icon: launchIcon,
    tooltip: trans.__('Open the session'),
    onClick: () => void commands.execute(CommandIDs.open, { id })
  });
  toolbar.addItem('open', open);

  let name = id;
  const onModel = (): void => {
    const session = model.get(id);
    name = session?.name ?? name;
    tab.title.label = trans.__('Log: %1', name);
    tab.title.caption = session
      ? trans.__('Log of %1 (%2)', name, session.title)
      : trans.__('Log of a session that has been forgotten');
    open.enabled = session !== undefined;
  };
  tab.title.icon = listIcon;
  model.changed.connect(onModel);
  tab.disposed.connect(() => model.changed.disconnect(onModel));
  onModel();
  return tab;
}

/** Save what the server has of the log: lines as a terminal shows them, of any length. */
async function download(
  id: string,
  model: ISessionsModel,
  trans: TranslationBundle
): Promise<void> {
  const name = model.get(id)?.name ?? id;
  const parser = new LineParser(Infinity);
  const parts: string[] = [];
  try {
    for await (const piece of model.transport.log(id, { lines: ALL, follow: false })) {
      parts.push(...parser.push(piece).map(line => `${line.text}\n`));
    }
  } catch (error) {
    await showErrorMessage(
      trans.__('The log could not be downloaded'),
      (error as IRequestProblem).message
    );
    return;
  }
  const last = parser.end();
  if (last) {
    parts.push(`${last.text}\n`);
  }
  const url = URL.createObjectURL(new Blob(parts, { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = fileName(name);
  link.click();
  URL.revokeObjectURL(url);
}

/** `name` as the name of a file, on any system. */
export function fileName(name: string): string {
  const plain = name
    .normalize()
    .replace(/[^\p{L}\p{N}._ -]+/gu, '_')
    .replace(/^[._ ]+|[._ ]+$/g, '');
  return `${plain.slice(0, 100) || 'session'}.log`;
}
