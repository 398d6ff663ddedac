/** Logs: a view that follows one, and a tab for it. */

export { LogView, type ILogViewOptions } from './view';
export { createLogTab } from './tab';
