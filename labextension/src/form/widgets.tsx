/** The controls: inputs, selects, checkboxes. They are told by their fields what is wrong. */

import { HTMLSelect } from '@jupyterlab/ui-components';
import {
  ADDITIONAL_PROPERTY_FLAG,
  enumOptionsDeselectValue,
  enumOptionsIndexForValue,
  enumOptionsIsSelected,
  enumOptionsSelectValue,
  enumOptionsValueForIndex,
  getInputProps,
  type RegistryWidgetsType,
  type WidgetProps
} from '@rjsf/utils';
import * as React from 'react';
import { fieldOf, unitId, useField, useForm, type IFieldState } from './context';
import { describe, isItem, itemLabel, labelOf, nameOf } from './labels';
import { OWN_KEYS } from './presets';

type Known =
  | 'id'
  | 'schema'
  | 'label'
  | 'required'
  | 'readonly'
  | 'disabled'
  | 'multiple'
  | 'options'
  | 'placeholder'
  | 'onChange';

/** What the widgets use of rjsf's props. */
interface IProps extends Pick<WidgetProps, Known> {
  value: unknown;
  type?: string;
}

/** What a widget's field says to its control. */
function useWidget({ id, schema, label }: IProps): IFieldState & {
  field: string;
  unit: string;
} {
  const { state } = useForm();
  const field = fieldOf(id);
  const unit = typeof schema['x-unit'] === 'string' ? schema['x-unit'] : '';
  const known = useField(field, {
    description: describe(schema, state.trans) !== '',
    unit: unit !== '',
    hint: state.source(field) !== undefined
  });
  // Where no label can be seen.
  const name = isItem(field)
    ? itemLabel(label, field)
    : ADDITIONAL_PROPERTY_FLAG in schema
      ? state.trans.__('Value of %1', nameOf(field))
      : '';
  return {
    ...known,
    aria: { ...known.aria, ...(name ? { 'aria-label': name } : {}) },
    field,
    unit
  };
}

/** What an empty field means, if it means anything. An emptied text is an empty text. */
function usePlaceholder({ schema, placeholder }: IProps): string {
  const { trans, file } = useForm().state;
  const { default: usual } = schema;
  if (placeholder) {
    return placeholder;
  }
  if (schema['x-default-from'] === 'cwd') {
    return trans.__('The working directory');
  }
  if (schema['x-default-from'] === 'file' && file !== undefined) {
    return file;
  }
  return typeof usual === 'number' ? String(usual) : '';
}

/** Text that has been emptied is sent as empty where its default would come back otherwise. */
function emptyOf({ schema, options }: IProps): unknown {
  return schema.type === 'string' && schema.default ? '' : options.emptyValue;
}

export function BaseInput(props: IProps): React.JSX.Element {
  const { id, value, required, readonly, disabled, schema, options, type } = props;
  const { aria, unit, field } = useWidget(props);
  const placeholder = usePlaceholder(props);
  const { min, max, step, type: kind } = getInputProps(schema, type, options);
  const examples = (Array.isArray(schema.examples) ? schema.examples : []).map(
    example => (typeof example === 'string' ? example : JSON.stringify(example))
  );
  const listId = `${id}--examples`;
  const input = (
    <input
      id={id}
      className="jp-mod-styled"
      type={kind}
      {...(kind === 'number' ? { min, max, step } : {})}
      value={typeof value === 'number' || typeof value === 'string' ? value : ''}
      placeholder={placeholder}
      readOnly={readonly}
      disabled={disabled}
      aria-required={required}
      spellCheck={false}
      autoComplete="off"
      list={examples.length > 0 ? listId : undefined}
      onChange={({ target }) =>
        props.onChange(target.value === '' ? emptyOf(props) : target.value)
      }
      {...aria}
    />
  );
  return (
    <>
      {unit ? (
        <div className="jp-sessions-form-measure">
          {input}
          <span id={unitId(field)}>{unit}</span>
        </div>
      ) : (
        input
      )}
      {examples.length > 0 && (
        <datalist id={listId}>
          {examples.map(example => (
            <option key={example} value={example} />
          ))}
        </datalist>
      )}
    </>
  );
}

function Textarea(props: IProps): React.JSX.Element {
  const { id, value, required, readonly, disabled } = props;
  const { aria } = useWidget(props);
  const placeholder = usePlaceholder(props);
  return (
    <textarea
      id={id}
      className="jp-mod-styled"
      rows={4}
      value={typeof value === 'string' ? value : ''}
      placeholder={placeholder}
      readOnly={readonly}
      disabled={disabled}
      aria-required={required}
      spellCheck={false}
      onChange={({ target }) =>
        props.onChange(target.value === '' ? emptyOf(props) : target.value)
      }
      {...aria}
    />
  );
}

function Checkbox(props: IProps): React.JSX.Element {
  const { id, value, label, disabled, readonly, required } = props;
  const { aria, field } = useWidget(props);
  return (
    <label className="jp-sessions-form-check">
      <input
        id={id}
        type="checkbox"
        checked={value === true}
        disabled={disabled || readonly}
        aria-required={required}
        onChange={({ target }) => props.onChange(target.checked)}
        {...aria}
      />
      <span>{labelOf(label, field)}</span>
    </label>
  );
}

/** So many choices can be filtered. */
const LONG = 30;

function Select(props: IProps): React.JSX.Element {
  const { id, value, options, required, disabled, readonly, schema, multiple } = props;
  const { aria, field } = useWidget(props);
  const { trans } = useForm().state;
  const [filter, setFilter] = React.useState('');
  if (multiple) {
    return <Checkboxes {...props} />;
  }
  const { enumOptions = [] } = options;
  const index = enumOptionsIndexForValue(value, enumOptions) as string | undefined;
  // rjsf's own selects, of alternatives, are a field beside the object's.
  const of = field.replace(/__(oneof|anyof)_select$/, '');
  const isAlternative = of !== field;
  const isPart = !of.includes('.');
  const words = filter.toLowerCase().split(/\s+/);
  const isSought = (label: string): boolean =>
    words.every(word => label.toLowerCase().includes(word));
  const isLong = enumOptions.length >= LONG;
  const name = labelOf(props.label, field);
  // What is required and set cannot be unset.
  const hasNone = index === undefined || (!required && schema.default === undefined);
  return (
    <div className={isAlternative ? 'jp-sessions-form-field' : undefined}>
      {isAlternative && (
        <label className="jp-sessions-form-label" htmlFor={id}>
          {isPart ? trans.__('Kind') : labelOf(props.label, of)}
        </label>
      )}
      {isLong && !readonly && (
        <input
          type="search"
          className={`jp-mod-styled jp-sessions-form-filter ${OWN_KEYS}`}
          aria-label={trans.__('Filter %1', name)}
          aria-controls={id}
          placeholder={trans.__('Filter %1 choices', enumOptions.length)}
          value={filter}
          disabled={disabled}
          spellCheck={false}
          autoComplete="off"
          onChange={({ target }) => setFilter(target.value)}
        />
      )}
      <HTMLSelect
        id={id}
        className="jp-sessions-form-select"
        value={index ?? ''}
        disabled={disabled || readonly}
        aria-required={required}
        onChange={({ target }) =>
          props.onChange(
            enumOptionsValueForIndex(target.value, enumOptions, options.emptyValue)
          )
        }
        {...aria}
      >
        {hasNone && !isAlternative && <option value="">—</option>}
        {enumOptions.map((option, i) =>
          !isLong || String(i) === index || isSought(option.label) ? (
            <option key={i} value={String(i)}>
              {option.label}
            </option>
          ) : null
        )}
      </HTMLSelect>
    </div>
  );
}

/** Several of a few choices. Its field is a group with the name of the list. */
function Checkboxes(props: IProps): React.JSX.Element {
  const { id, value, options, disabled, readonly } = props;
  const { aria } = useWidget(props);
  const { enumOptions = [] } = options;
  const chosen = Array.isArray(value) ? (value as unknown[]) : [];
  return (
    <div>
      {enumOptions.map((option, index) => (
        <label key={index} className="jp-sessions-form-check">
          <input
            id={index === 0 ? id : undefined}
            type="checkbox"
            checked={enumOptionsIsSelected(option.value, chosen)}
            disabled={disabled || readonly}
            onChange={({ target }) =>
              props.onChange(
                target.checked
                  ? enumOptionsSelectValue(index, chosen, enumOptions)
                  : enumOptionsDeselectValue(index, chosen, enumOptions)
              )
            }
            {...aria}
          />
          <span>{option.label}</span>
        </label>
      ))}
    </div>
  );
}

export const WIDGETS: RegistryWidgetsType = {
  CheckboxWidget: Checkbox,
  CheckboxesWidget: Checkboxes,
  RadioWidget: Select,
  SelectWidget: Select,
  TextareaWidget: Textarea
};
