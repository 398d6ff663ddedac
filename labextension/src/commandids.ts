/** The commands' names: what the palette, menus, other extensions and tests call. */

export namespace CommandIDs {
  /** Start an app: `{app, spawner?, options?, resources?, timeout?, name?, cwd?, file?, ask?}`. */
  export const start = 'sessions:start';
  /** Open a session: `{id, where?: 'lab' | 'browser'}`. */
  export const open = 'sessions:open';
  export const openInBrowser = 'sessions:open-in-browser';
  /** All of these: `{id}`. */
  export const logs = 'sessions:logs';
  export const stop = 'sessions:stop';
  export const restart = 'sessions:restart';
  /** `{id, seconds?}`. */
  export const extend = 'sessions:extend';
  /** `{id, name?}`. */
  export const rename = 'sessions:rename';
  export const duplicate = 'sessions:duplicate';
  /** Open what the app offers besides itself: `{id, link}`, its number from 0. */
  export const openLink = 'sessions:open-link';
  export const copyUrl = 'sessions:copy-url';
  export const forget = 'sessions:forget';

  export const forgetEnded = 'sessions:forget-ended';
  export const stopAll = 'sessions:stop-all';
  export const refresh = 'sessions:refresh';
  export const showPanel = 'sessions:show-panel';
}
