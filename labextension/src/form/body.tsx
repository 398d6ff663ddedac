/** All between the dialog's title and its buttons. */

import { UseSignal, caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { About } from './about';
import { FormContext, idOf, type IFormContext } from './context';
import { NameField, FolderField, SpawnerField, TimeLimitField } from './ownfields';
import { Presets } from './presets';
import { humanize } from './labels';
import { asSentence } from './problems';
import { SchemaForm } from './schemaform';
import type { LaunchState } from './state';

export function LaunchForm({ state }: { state: LaunchState }): React.JSX.Element {
  return (
    <UseSignal signal={state.changed}>{() => <Content state={state} />}</UseSignal>
  );
}

function Content({ state }: { state: LaunchState }): React.JSX.Element {
  const [options, setOptions] = React.useState<HTMLElement | null>(null);
  const [resources, setResources] = React.useState<HTMLElement | null>(null);
  const context: IFormContext = {
    state,
    problems: state.problems,
    folded: { options, resources },
    awaited: React.useRef(null)
  };
  const { trans, spawner, isUnfolded, failures } = state;
  const advanced = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    if (isUnfolded) {
      advanced.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [isUnfolded]);
  const top = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    if (failures > 0) {
      showWrong(top.current);
    }
  }, [failures]);
  return (
    <FormContext.Provider value={context}>
      <div ref={top}>
        <Remarks />
      </div>
      <Presets />
      <SpawnerField />
      <SchemaForm key={spawner?.name} part="resources" />
      <SchemaForm part="options" />
      <section className="jp-sessions-form-advanced">
        <button
          type="button"
          className="jp-sessions-form-fold"
          aria-expanded={isUnfolded}
          aria-controls={idOf('advanced')}
          onClick={() => (state.isUnfolded = !isUnfolded)}
        >
          <caretRightIcon.react tag="span" />
          {trans.__('Advanced')}
        </button>
        <div id={idOf('advanced')} ref={advanced} hidden={!isUnfolded}>
          <div ref={setResources} />
          <div ref={setOptions} />
          <NameField />
          <FolderField />
          <TimeLimitField />
        </div>
      </section>
    </FormContext.Provider>
  );
}

/** Bring people to the first field that is wrong, or to what is wrong with none. */
function showWrong(top: HTMLElement | null): void {
  const wrong = top?.parentElement?.querySelector<HTMLElement>('[aria-invalid="true"]');
  if (wrong) {
    wrong.focus();
  } else {
    top?.scrollIntoView({ block: 'nearest' });
  }
}

/** What is to be said before anything is asked. */
function Remarks(): React.JSX.Element {
  const { state, problems } = React.useContext(FormContext) as IFormContext;
  const { trans, form, file } = state;
  const unavailable = form.spawners.length === 1 && !state.spawner?.available;
  return (
    <>
      {/* There before they speak: only then are they read out. */}
      <div className="jp-sessions-form-problem" role="alert">
        {state.problem && <p>{state.problem}</p>}
        {problems.rest.map(({ field, message }) => (
          <p key={field + message}>
            {field.includes('.')
              ? `${humanize(field.slice(field.indexOf('.') + 1))}: ${message}`
              : message}
          </p>
        ))}
        {unavailable && problems.rest.length === 0 && (
          <p>
            {asSentence(
              state.spawner?.unavailable_reason ||
                trans.__('It cannot be started here now')
            )}
          </p>
        )}
      </div>
      {form.app.description && (
        <p className="jp-sessions-form-about">{form.app.description}</p>
      )}
      <About />
      {file !== undefined && (
        <p className="jp-sessions-form-about">{trans.__('Opens %1', file)}</p>
      )}
      {form.app.notice && (
        <p className="jp-sessions-form-notice" role="note">
          {form.app.notice}
        </p>
      )}
      {form.problem && (
        <p className="jp-sessions-form-notice" role="note">
          {asSentence(form.problem)}
        </p>
      )}
      {form.project?.problem && (
        <p className="jp-sessions-form-notice" role="note">
          {trans.__(
            'Something is wrong with the defaults of this project (%1): %2',
            form.project.origin,
            form.project.problem
          )}
        </p>
      )}
    </>
  );
}
