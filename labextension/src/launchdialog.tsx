import type { TranslationBundle } from '@jupyterlab/translation';
import type { IChoices, IForm, ISession, ISessionsModel } from './tokens';

export interface ILaunchDialogOptions {
  model: ISessionsModel;
  form: IForm;
  trans: TranslationBundle;
  initial?: IChoices & { name?: string; cwd?: string };
  file?: string;
}

export async function showLaunchDialog(
  options: ILaunchDialogOptions
): Promise<ISession | null> {
  return options.model.start({ app: options.form.app.name });
}
