import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';
import { expect, it } from 'vitest';
import { addStart } from '../../labextension/src/commands/start';
import type { ICommandOptions } from '../../labextension/src/commands/shared';
import { SessionsModel } from '../../labextension/src/model';
import { fillNewMenu } from '../../labextension/src/panel';
import { FakeTransport } from './fakes';

const trans = nullTranslator.load('jupyter_sessions');

it('has an ellipsis where a dialog comes first, and only there', async () => {
  const model = new SessionsModel(new FakeTransport());
  await model.ready;
  const commands = new CommandRegistry();
  const options: unknown = { app: { commands }, model, trans };
  addStart(options as ICommandOptions);
  const menu = new Menu({ commands });
  fillNewMenu(menu, model.apps, trans);
  const [first] = menu.items;
  const withOptions = menu.items.at(-1)?.submenu?.items[0];
  expect(withOptions?.label).toBe(`${first?.label ?? '?'}…`);
  menu.dispose();
  model.dispose();
});
