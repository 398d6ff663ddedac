/** Icons: our own, and the apps'. */

import { LabIcon } from '@jupyterlab/ui-components';
import sessionsSvg from '../style/sessions.svg';
import type { ISessionsModel } from './tokens';

export const sessionsIcon = new LabIcon({
  name: 'jupyter-sessions:sessions',
  svgstr: sessionsSvg
});

const known = new Map<string, LabIcon>();

/**
 * The icon of the app called `name`: a general one until the server has answered.
 *
 * It becomes part of the page as a picture, in which no script runs: who may define an app for
 * somebody is not always that person.
 */
export function appIcon(model: ISessionsModel, name: string): LabIcon {
  const icon = known.get(name);
  if (icon) {
    return icon;
  }
  const app = model.app(name);
  if (!app) {
    return sessionsIcon; // not known yet, or no more
  }
  if (!app.icon) {
    known.set(name, sessionsIcon);
    return sessionsIcon;
  }
  const fresh = new LabIcon({
    name: `jupyter-sessions:app-${name}`,
    svgstr: sessionsSvg
  });
  known.set(name, fresh);
  model.transport.icon(name).then(
    svg => {
      fresh.svgstr = asPicture(svg);
    },
    () => known.delete(name) // to be asked for again
  );
  return fresh;
}

/** An SVG that shows another one. */
export function asPicture(svg: string): string {
  const data = btoa(String.fromCharCode(...new TextEncoder().encode(svg)));
  return (
    '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24">' +
    `<image width="24" height="24" href="data:image/svg+xml;base64,${data}"/></svg>`
  );
}
