/** The fields that a JSON Schema describes. */

import { FormComponent } from '@jupyterlab/ui-components';
import type { FormProps } from '@rjsf/core';
import { TranslatableString } from '@rjsf/utils';
import * as React from 'react';
import { fieldOf, idOf, useForm } from './context';
import type { Values } from './rules';
import type { Part } from './choices';
import { TEMPLATES } from './templates';
import { WIDGETS } from './widgets';

/** Lab's type leaves out what rjsf tells its listeners: which field has been changed. */
const Form = FormComponent as unknown as React.ComponentType<FormProps>;

export function SchemaForm({ part }: { part: Part }): React.JSX.Element {
  const { state } = useForm();
  const { rules, shown } = state.fields(part);
  return (
    <Form
      tagName="div" // a form in a dialog that is none
      schema={rules.rendered}
      validator={rules.validator}
      formData={shown}
      idPrefix={idOf(part)}
      idSeparator="."
      templates={TEMPLATES}
      widgets={WIDGETS}
      experimental_defaultFormStateBehavior={{
        constAsDefaults: 'skipOneOf',
        arrayMinItems: { populate: 'requiredOnly' }
      }}
      liveValidate={false} // all that is wrong comes from the state
      showErrorList={false}
      translateString={(text, params = []) =>
        // What a new value of somebody's own name begins with.
        text === TranslatableString.NewStringDefault
          ? ''
          : state.trans.__(text, ...params)
      }
      onChange={({ formData }, id) =>
        state.change(part, formData as Values, changed(id))
      }
    />
  );
}

/** The option that people have changed, by the id that rjsf gives. */
function changed(id: string | undefined): string | null | undefined {
  if (id === undefined) {
    return undefined;
  }
  // Of options.a.b: a. Of options__oneof_select: none in particular.
  const [, name] = fieldOf(id).split('.');
  return name === undefined ? null : name.replace(/__(oneof|anyof)_select$/, '');
}
