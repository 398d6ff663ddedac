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
  const app = model.app(name);
  if (!app) {
    return sessionsIcon; // not known yet, or no more
  }
  // Styles tell them apart by the icon's name: a launcher's tile has no class of ours.
  const kind = app.available ? 'app' : 'unavailable';
  // Each project has apps of its own, and those change.
  const key = `jupyter-sessions:${kind}-${name}${app.project?.digest ?? ''}`;
  const icon = known.get(key);
  if (icon) {
    return icon;
  }
  const fresh = new LabIcon({ name: key, svgstr: sessionsSvg });
  known.set(key, fresh);
  if (app.icon) {
    model.transport.icon(name, app.project ? app.project.folder : undefined).then(
      url => {
        fresh.svgstr = asPicture(url);
      },
      () => known.delete(key) // to be asked for again
    );
  }
  return fresh;
}

/** An SVG that shows the picture at a `data:` URL. */
export function asPicture(url: string): string {
  return (
    '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24">' +
    `<image width="24" height="24" href="${url}"/></svg>`
  );
}
