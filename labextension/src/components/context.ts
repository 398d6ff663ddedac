/** What every component of the panel needs. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { createContext, useContext } from 'react';
import type { ISession, ISessionsModel } from '../tokens';

export interface IPanelContext {
  model: ISessionsModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
  /** Open the menu of all that may be done with `session`, at a place in the window. */
  openMenu: (session: ISession, x: number, y: number) => void;
}

const Context = createContext<IPanelContext | null>(null);

export const PanelContext = Context.Provider;

export function usePanel(): IPanelContext {
  const context = useContext(Context);
  if (!context) {
    throw new Error('There is no panel around this component.');
  }
  return context;
}
