/** One field: label, control, what it is about, where its value comes from, what is wrong. */

import * as React from 'react';
import {
  descriptionId,
  errorId,
  hintId,
  idOf,
  labelId,
  useForm,
  useShown
} from './context';

export interface IFieldProps {
  /** As the server names it. */
  field: string;
  /** Empty if the control has one of its own. */
  label: string;
  required?: boolean;
  description?: string;
  /** The control is a group of controls, which the label is the name of. */
  isGroup?: boolean;
  /** Whoever set up the app has chosen for everybody. */
  isFixed?: boolean;
  children: React.ReactNode;
}

export function Field(props: IFieldProps): React.JSX.Element {
  const { field, label, required, description, isGroup, isFixed, children } = props;
  const { trans } = useForm().state;
  useShown(field);
  const content = (
    <>
      {label &&
        (isGroup ? (
          <div className="jp-sessions-form-label" id={labelId(field)}>
            {label}
            {required && <Required />}
          </div>
        ) : (
          <label className="jp-sessions-form-label" htmlFor={idOf(field)}>
            {label}
            {required && <Required />}
          </label>
        ))}
      {children}
      {isFixed && (
        <div className="jp-sessions-form-description">
          {trans.__('Set for everybody: it cannot be changed here.')}
        </div>
      )}
      <Remarks field={field} description={description} />
    </>
  );
  return isGroup ? (
    <div
      className="jp-sessions-form-field"
      role="group"
      aria-labelledby={labelId(field)}
      data-field={field}
    >
      {content}
    </div>
  ) : (
    <div className="jp-sessions-form-field" data-field={field}>
      {content}
    </div>
  );
}

/** What stands below a control. */
export function Remarks({
  field,
  description
}: {
  field: string;
  description?: string;
}): React.JSX.Element {
  return (
    <>
      {description && (
        <div className="jp-sessions-form-description" id={descriptionId(field)}>
          {description}
        </div>
      )}
      <Unknown field={field} />
      <Origin field={field} />
      <Errors field={field} />
    </>
  );
}

/** Why there is nothing to choose from. */
function Unknown({ field }: { field: string }): React.JSX.Element | null {
  const { state } = useForm();
  const problem = state.form.unknown.find(each => each.field === field);
  return problem ? (
    <div className="jp-sessions-form-description" role="note">
      {state.trans.__(
        'Type what you know: the choices could not be found out (%1).',
        problem.message
      )}
    </div>
  ) : null;
}

/** Where a value comes from that people have not typed now, and the way back from it. */
export function Origin({ field }: { field: string }): React.JSX.Element | null {
  const { state } = useForm();
  const { trans } = state;
  const layer = state.source(field);
  if (layer === undefined) {
    return null;
  }
  return (
    <div className="jp-sessions-form-origin">
      <span id={hintId(field)}>
        {layer === 'project'
          ? trans.__('From this project')
          : trans.__('From the last time')}
      </span>
      <button
        type="button"
        className="jp-sessions-link"
        onClick={() => {
          state.reset(field);
          // This button goes; a list has no control of its own but the one that adds.
          const id = idOf(field);
          const control =
            document.getElementById(id) ??
            document.getElementById(`${id}--add`) ??
            document.querySelector<HTMLElement>(`input[name="${id}"]:checked`);
          control?.focus();
        }}
      >
        {state.hasDefault(field) ? trans.__('Use the default') : trans.__('Clear')}
      </button>
    </div>
  );
}

export function Errors({ field }: { field: string }): React.JSX.Element {
  const { problems } = useForm();
  const errors = problems.at.get(field) ?? [];
  // The element is there before it speaks: only then is it read out.
  return (
    <div className="jp-sessions-form-error" id={errorId(field)} role="alert">
      {errors.map(error => (
        <div key={error}>{error}</div>
      ))}
    </div>
  );
}

function Required(): React.JSX.Element {
  return (
    <span className="jp-sessions-form-required" aria-hidden="true">
      *
    </span>
  );
}
