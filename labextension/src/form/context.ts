/** What every part of the form needs. */

import * as React from 'react';
import type { IPlaced } from './problems';
import type { Part } from './choices';
import type { LaunchState } from './state';

export interface IFormContext {
  state: LaunchState;
  problems: IPlaced;
  /** Where fields go that are folded away, by part; null until it is on the page. */
  folded: { readonly [part in Part]: HTMLElement | null };
  /** The id of a control that gets the focus as soon as it is there. */
  awaited: React.MutableRefObject<string | null>;
}

export const FormContext = React.createContext<IFormContext | null>(null);

export function useForm(): IFormContext {
  const context = React.useContext(FormContext);
  if (!context) {
    throw new Error('used outside of the form');
  }
  return context;
}

/** Begins the ids of elements; the field's name follows. */
const PREFIX = 'jp-sessions-form.';

export function idOf(field: string): string {
  return PREFIX + field;
}

export function fieldOf(id: string): string {
  return id.slice(PREFIX.length);
}

export interface IFieldState {
  errors: readonly string[];
  /** For the control: what it is described by, and whether it is wrong. */
  aria: {
    'aria-describedby'?: string;
    'aria-invalid'?: true;
    'aria-errormessage'?: string;
  };
}

/** What is wrong with a field, and what its control refers to. Once per field: it is shown now. */
export function useField(
  field: string,
  has: { description?: boolean; unit?: boolean; hint?: boolean }
): IFieldState {
  const { problems } = useForm();
  const errors = problems.at.get(field) ?? [];
  const ids = [
    ...(has.unit ? [unitId(field)] : []),
    ...(has.description ? [descriptionId(field)] : []),
    ...(has.hint ? [hintId(field)] : []),
    ...(errors.length > 0 ? [errorId(field)] : [])
  ];
  return {
    errors,
    aria: {
      ...(ids.length > 0 ? { 'aria-describedby': ids.join(' ') } : {}),
      ...(errors.length > 0
        ? { 'aria-invalid': true, 'aria-errormessage': errorId(field) }
        : {})
    }
  };
}

/** Tell that problems of `field` can be shown. */
export function useShown(field: string): void {
  const { state } = useForm();
  // Before the first paint: a problem is never shown elsewhere for a moment.
  React.useLayoutEffect(() => {
    state.show(field);
    return () => state.hide(field);
  }, [state, field]);
}

export const unitId = (field: string): string => `${idOf(field)}--unit`;
export const descriptionId = (field: string): string => `${idOf(field)}--description`;
export const hintId = (field: string): string => `${idOf(field)}--hint`;
export const errorId = (field: string): string => `${idOf(field)}--error`;
export const labelId = (field: string): string => `${idOf(field)}--label`;
