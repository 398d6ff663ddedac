/** From a tile to a session: asks what needs asking, starts, and opens what has been started. */

import { PathExt } from '@jupyterlab/coreutils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSONObject } from '@lumino/coreutils';
import { Choices } from './form/choices';
import { showLaunchDialog } from './launchdialog';
import type { Settings } from './settings';
import type {
  IForm,
  IRequestProblem,
  ISession,
  ISessionsModel,
  IStartRequest
} from './tokens';
import { askForTrust } from './trustdialog';

export interface IStartOptions {
  model: ISessionsModel;
  settings: Settings;
  rendermime?: IRenderMimeRegistry | undefined;
  trans: TranslationBundle;
  /** What is known already. */
  request: IStartRequest;
  /** Show the form whether or not it is needed. */
  ask: boolean;
}

/**
 * Start a session; null if people changed their mind.
 *
 * @throws RequestProblem
 */
export async function startSession(options: IStartOptions): Promise<ISession | null> {
  const { model, settings, trans, request, ask } = options;
  const folder =
    request.cwd ??
    (request.file === undefined ? undefined : PathExt.dirname(request.file));
  const form = await trustedForm(options, folder);
  if (!form) {
    return null;
  }
  const policy = settings.now.askBeforeStart;
  if (ask || policy === 'always' || needsAsking(form, request, policy === 'choices')) {
    return showLaunchDialog({
      model,
      form,
      trans,
      initial: request,
      ...(options.rendermime ? { rendermime: options.rendermime } : {}),
      ...(request.file === undefined ? {} : { file: request.file })
    });
  }
  const spawner = request.spawner ?? form.values.spawner;
  const place = form.spawners.find(({ name }) => name === spawner);
  if (place && !place.same_files) {
    // The folder is that host's business, and so is what is filled in from it.
    const { request: chosen } = new Choices(form, request);
    return model.start(
      request.file === undefined ? chosen : { ...chosen, file: request.file }
    );
  }
  return model.start({
    ...request,
    spawner,
    options: { ...form.values.options, ...request.options },
    resources: { ...form.values.resources[spawner], ...request.resources },
    timeout: request.timeout === undefined ? form.values.timeout : request.timeout
  });
}

/**
 * What to ask before a start; null if the app is a project's that people do not trust.
 *
 * @throws RequestProblem
 */
async function trustedForm(
  options: IStartOptions,
  folder: string | undefined
): Promise<IForm | null> {
  const { model, trans, request } = options;
  for (;;) {
    try {
      return await model.transport.form(request.app, folder);
    } catch (error) {
      if ((error as IRequestProblem).reason !== 'untrusted') {
        throw error;
      }
    }
    if (!(await askForTrust({ model, trans, app: request.app, folder }))) {
      return null;
    }
  }
}

/**
 * Whether the form has to be shown.
 *
 * @param choices ask about what may be chosen, not only about what must be given
 */
export function needsAsking(
  form: IForm,
  request: IStartRequest,
  choices: boolean
): boolean {
  const open = form.spawners.filter(spawner => spawner.available);
  const spawner =
    form.spawners.find(s => s.name === (request.spawner ?? form.values.spawner)) ??
    open[0];
  if (!spawner?.available) {
    return true;
  }
  // What a project's file says is shown before it is done: somebody else may have written it.
  if (form.project && Object.values(form.sources).includes('project')) {
    return true;
  }
  const given = { ...form.values.options, ...request.options };
  const asked = { ...form.values.resources[spawner.name], ...request.resources };
  // What the server fills in by itself.
  const places = request.file === undefined ? ['cwd'] : ['cwd', 'file'];
  if (
    isMissing(form.app.options, given, places) ||
    isMissing(spawner.options, asked, places)
  ) {
    return true;
  }
  if (!choices) {
    return false;
  }
  return (
    (open.length > 1 && request.spawner === undefined) ||
    hasChoice(form.app.options, request.options ?? {}) ||
    hasChoice(spawner.options, request.resources ?? {})
  );
}

type Properties = { [name: string]: JSONObject | boolean };

function propertiesOf(schema: JSONObject): Properties {
  return (schema['properties'] ?? {}) as Properties;
}

function isMissing(schema: JSONObject, given: JSONObject, places: string[]): boolean {
  const required = (schema['required'] ?? []) as string[];
  const properties = propertiesOf(schema);
  return required.some(name => {
    const property = properties[name];
    const isFilled =
      typeof property === 'object' &&
      places.some(place => place === property['x-default-from']);
    return !isFilled && (given[name] === undefined || given[name] === null);
  });
}

/** Whether the form would show a field that `given` does not answer. */
function hasChoice(schema: JSONObject, given: JSONObject): boolean {
  return Object.entries(propertiesOf(schema)).some(
    ([name, property]) =>
      !(name in given) &&
      typeof property === 'object' &&
      !property['x-hidden'] &&
      !property['x-fixed'] &&
      !property['x-advanced'] &&
      !property['x-default-from']
  );
}
