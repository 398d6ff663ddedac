/** The commands: what menus, the palette, tiles, the panel and other extensions call. */

import { addForAll } from './all';
import { addControl, addNaming } from './control';
import { addOpening } from './open';
import type { ICommandOptions } from './shared';
import { addStart } from './start';

/** Add all commands to the application. */
export function addCommands(options: ICommandOptions): void {
  addStart(options);
  addOpening(options);
  addControl(options);
  addNaming(options);
  addForAll(options);
}
