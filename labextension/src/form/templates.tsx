/** How rjsf's objects, lists and fields look in the dialog. */

import { addIcon, closeIcon } from '@jupyterlab/ui-components';
import {
  ADDITIONAL_PROPERTY_FLAG,
  canExpand,
  type ArrayFieldTemplateProps,
  type FieldTemplateProps,
  type ObjectFieldTemplateProps,
  type TemplatesType
} from '@rjsf/utils';
import * as React from 'react';
import { createPortal } from 'react-dom';
import { fieldOf, idOf, labelId, useForm, useShown } from './context';
import { Field, Remarks } from './field';
import { describe, humanize, isItem, labelOf, nameOf } from './labels';
import { BaseInput } from './widgets';
import type { Part } from './choices';

function isPart(field: string): field is Part {
  return field === 'options' || field === 'resources';
}

/** Around everything that has a value. Objects and lists have templates of their own below. */
function FieldTemplate(props: FieldTemplateProps): React.JSX.Element | null {
  const { id, label, schema, required, rawDescription, children, hidden } = props;
  const field = fieldOf(id);
  const { state } = useForm();
  if (hidden || schema['x-hidden'] === true || isNull(schema)) {
    return null;
  }
  if (ADDITIONAL_PROPERTY_FLAG in schema) {
    return <Additional {...props} field={field} />;
  }
  const isChoice = !props.registry.schemaUtils.isSelect(schema) && isOneOf(schema);
  if (schema.type === 'object' || isPart(field) || isList(schema) || isChoice) {
    return <>{children}</>;
  }
  return (
    <Field
      field={field}
      label={schema.type === 'boolean' || isItem(field) ? '' : labelOf(label, field)}
      required={required}
      description={describe({ ...schema, description: rawDescription }, state.trans)}
      isGroup={schema.type === 'array'}
      isFixed={schema['x-fixed'] === true}
    >
      {children}
    </Field>
  );
}

/** Alternatives: rjsf asks which first, and then for that as for a field of its own. */
function isOneOf(schema: FieldTemplateProps['schema']): boolean {
  return schema.anyOf !== undefined || schema.oneOf !== undefined;
}

/** A value with a name that people give: a variable of an environment, say. */
function Additional(props: FieldTemplateProps & { field: string }): React.JSX.Element {
  const { field, id, label, children, onKeyChange, onDropPropertyClick } = props;
  const { state, awaited } = useForm();
  const { trans } = state;
  React.useEffect(() => {
    if (awaited.current === id) {
      awaited.current = null;
      document.getElementById(id)?.focus();
    }
  }, [awaited, id]);
  // A row with another name is another row: whoever goes on to its value wants the new one's.
  const rename = (name: string, to: EventTarget | null): void => {
    if (to instanceof HTMLElement && to.id === id) {
      awaited.current = id.slice(0, id.length - label.length) + name;
    }
    onKeyChange(name);
  };
  return (
    <div className="jp-sessions-form-item">
      <input
        className="jp-mod-styled jp-sessions-form-key"
        type="text"
        aria-label={trans.__('Name')}
        defaultValue={label}
        autoComplete="off"
        spellCheck={false}
        onBlur={({ target, relatedTarget }) => {
          if (target.value !== label) {
            rename(target.value, relatedTarget);
          }
        }}
      />
      <div className="jp-sessions-form-item-content">
        <Field field={field} label="">
          {children}
        </Field>
      </div>
      <button
        type="button"
        className="jp-sessions-button"
        aria-label={trans.__('Remove %1', label)}
        title={trans.__('Remove')}
        aria-controls={id}
        onClick={onDropPropertyClick(label)}
      >
        <closeIcon.react tag="span" />
      </button>
    </div>
  );
}

/** Lists of choices are a group of checkboxes, a field like others. */
function isList(schema: FieldTemplateProps['schema']): boolean {
  const { items } = schema;
  const isChoice =
    schema.uniqueItems === true &&
    typeof items === 'object' &&
    !Array.isArray(items) &&
    (items.enum !== undefined || items.oneOf !== undefined);
  return schema.type === 'array' && !isChoice;
}

/** There is nothing to choose. */
function isNull(schema: FieldTemplateProps['schema']): boolean {
  return schema.type === 'null';
}

function ObjectFieldTemplate(props: ObjectFieldTemplateProps): React.JSX.Element {
  const field = fieldOf(props.idSchema.$id);
  return isPart(field) ? (
    <Section {...props} part={field} />
  ) : (
    <Group {...props} field={field} />
  );
}

/** The options, or the resources: those for everybody here, the others where they are folded. */
function Section(props: ObjectFieldTemplateProps & { part: Part }): React.JSX.Element {
  const { part, properties, schema } = props;
  const { folded, state } = useForm();
  const { order } = state.fields(part).rules;
  const declared = (name: string): { [key: string]: unknown } =>
    (schema.properties?.[name] ?? {}) as { [key: string]: unknown };
  const seen = properties
    .filter(({ name }) => declared(name)['x-hidden'] !== true)
    .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  const isAdvanced = ({ name }: { name: string }): boolean =>
    declared(name)['x-advanced'] === true;
  const place = folded[part];
  return (
    <>
      {seen.filter(each => !isAdvanced(each)).map(({ content }) => content)}
      {place &&
        createPortal(
          seen.filter(isAdvanced).map(({ content }) => content),
          place
        )}
    </>
  );
}

/** An object within: a group with a name. */
function Group(props: ObjectFieldTemplateProps & { field: string }): React.JSX.Element {
  const { field, title, description, properties, schema, onAddClick } = props;
  const { trans } = useForm().state;
  useShown(field);
  return (
    <fieldset className="jp-sessions-form-group">
      <legend className="jp-sessions-form-label">{labelOf(title, field)}</legend>
      <Remarks field={field} description={description} />
      {properties.map(({ content }) => content)}
      {canExpand(schema, props.uiSchema, props.formData) && (
        <button
          type="button"
          className="jp-sessions-form-add"
          onClick={onAddClick(schema)}
        >
          <addIcon.react tag="span" />
          {trans.__('Add')}
        </button>
      )}
    </fieldset>
  );
}

function ArrayFieldTemplate(props: ArrayFieldTemplateProps): React.JSX.Element {
  const { idSchema, title, schema, items, canAdd, onAddClick, required } = props;
  const { state } = useForm();
  const { trans } = state;
  const field = fieldOf(idSchema.$id);
  const list = React.useRef<HTMLDivElement>(null);
  const count = React.useRef(items.length);
  const isAdding = React.useRef(false);
  React.useEffect(() => {
    // Whoever adds a row wants to write in it.
    if (isAdding.current && items.length > count.current) {
      const controls = list.current?.querySelectorAll<HTMLElement>(
        '.jp-sessions-form-item:last-child :is(input, select, textarea)'
      );
      controls?.[0]?.focus();
    }
    isAdding.current = false;
    count.current = items.length;
  }, [items.length]);
  const label = labelOf(title, field);
  return (
    <Field
      field={field}
      label={label}
      required={required}
      description={schema.description}
      isGroup
    >
      <div ref={list}>
        {items.map(item => (
          <div className="jp-sessions-form-item" key={item.key}>
            <div className="jp-sessions-form-item-content">{item.children}</div>
            {item.hasRemove && (
              <button
                type="button"
                className="jp-sessions-button"
                aria-label={trans.__('Remove %1 %2', label, item.index + 1)}
                title={trans.__('Remove')}
                onClick={event => {
                  item.onDropIndexClick(item.index)(event);
                  document.getElementById(`${idOf(field)}--add`)?.focus();
                }}
              >
                <closeIcon.react tag="span" />
              </button>
            )}
          </div>
        ))}
      </div>
      {canAdd && (
        <button
          type="button"
          id={`${idOf(field)}--add`}
          className="jp-sessions-form-add"
          aria-describedby={labelId(field)}
          onClick={event => {
            isAdding.current = true;
            onAddClick(event);
          }}
        >
          <addIcon.react tag="span" />
          {trans.__('Add')}
        </button>
      )}
    </Field>
  );
}

function Nothing(): null {
  return null;
}

/** A schema that no form can show. */
function Unsupported({ idSchema }: { idSchema?: { $id: string } }): React.JSX.Element {
  const { trans } = useForm().state;
  const field = fieldOf(idSchema?.$id ?? '');
  return (
    <div className="jp-sessions-form-description">
      {trans.__('%1 cannot be set in a form.', humanize(nameOf(field)))}
    </div>
  );
}

export const TEMPLATES: Partial<TemplatesType> = {
  FieldTemplate,
  ObjectFieldTemplate,
  ArrayFieldTemplate,
  BaseInputTemplate: BaseInput,
  DescriptionFieldTemplate: Nothing,
  ErrorListTemplate: Nothing,
  FieldErrorTemplate: Nothing,
  FieldHelpTemplate: Nothing,
  TitleFieldTemplate: Nothing,
  UnsupportedFieldTemplate: Unsupported
};
