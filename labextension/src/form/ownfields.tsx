/** The fields that every app has: where to run, name, folder, time limit. */

import { HTMLSelect } from '@jupyterlab/ui-components';
import * as React from 'react';
import { idOf, labelId, useField, useForm } from './context';
import { Field } from './field';
import { asSentence } from './problems';
import type { ISpawner } from '../tokens';
import { words, type TimeUnit } from './timelimit';

/** Where to run, if there is a choice. */
export function SpawnerField(): React.JSX.Element | null {
  const { state } = useForm();
  const { spawners } = state.form;
  return spawners.length > 1 ? <Spawners /> : null;
}

function Spawners(): React.JSX.Element {
  const { state } = useForm();
  const { trans, form } = state;
  const { aria } = useField('spawner', { hint: state.source('spawner') !== undefined });
  return (
    <Field field="spawner" label={trans.__('Where to run')} isGroup>
      <div
        role="radiogroup"
        aria-labelledby={labelId('spawner')}
        className="jp-sessions-form-places"
      >
        {form.spawners.map(spawner => {
          const remark = spawner.available
            ? hostOf(spawner)
            : asSentence(spawner.unavailable_reason || trans.__('Not available'));
          const id = idOf(`spawner.${spawner.name}`);
          return (
            <label key={spawner.name} className="jp-sessions-form-place">
              <input
                type="radio"
                name={idOf('spawner')}
                checked={spawner === state.spawner}
                disabled={!spawner.available}
                onChange={() => (state.spawner = spawner)}
                {...aria}
                aria-labelledby={`${id}--title`}
                aria-describedby={[`${id}--remark`, aria['aria-describedby']]
                  .filter(Boolean)
                  .join(' ')}
              />
              <span id={`${id}--title`}>{spawner.title || spawner.name}</span>
              <span id={`${id}--remark`} className="jp-sessions-form-remark">
                {remark}
              </span>
            </label>
          );
        })}
      </div>
    </Field>
  );
}

/** What it runs on, where the title leaves that open. */
function hostOf(spawner: ISpawner): string {
  return spawner.host === 'local' ? '' : spawner.host;
}

export function NameField(): React.JSX.Element {
  const { state } = useForm();
  const { trans } = state;
  const { aria } = useField('name', {});
  return (
    <Field field="name" label={trans.__('Session name')}>
      <input
        id={idOf('name')}
        className="jp-mod-styled"
        type="text"
        value={state.name}
        placeholder={state.form.app.title}
        autoComplete="off"
        onChange={({ target }) => (state.name = target.value)}
        {...aria}
      />
    </Field>
  );
}

export function FolderField(): React.JSX.Element {
  const { state } = useForm();
  const { trans } = state;
  const { aria } = useField('cwd', {});
  return (
    <Field field="cwd" label={trans.__('Working directory')}>
      <input
        id={idOf('cwd')}
        className="jp-mod-styled"
        type="text"
        value={state.folder}
        placeholder={
          state.elsewhere === undefined
            ? trans.__('Jupyter’s own folder')
            : trans.__('Your home on %1', state.elsewhere)
        }
        autoComplete="off"
        spellCheck={false}
        onChange={({ target }) => (state.folder = target.value)}
        onBlur={() => void state.leaveFolder()}
        {...aria}
      />
    </Field>
  );
}

export function TimeLimitField(): React.JSX.Element {
  const { state } = useForm();
  const { trans, timeLimit } = state;
  const maximum = state.form.limits.max_timeout;
  const { aria } = useField('timeout', {
    description: maximum !== null,
    hint: state.source('timeout') !== undefined
  });
  const isLimited = timeLimit.unit !== 'none';
  return (
    <Field
      field="timeout"
      label={trans.__('Time limit')}
      isGroup
      description={
        maximum === null ? undefined : trans.__('At most %1.', words(maximum, trans))
      }
    >
      <div className="jp-sessions-form-measure">
        {isLimited && (
          <input
            id={idOf('timeout')}
            className="jp-mod-styled"
            type="number"
            min={0}
            step="any"
            aria-label={trans.__('Amount')}
            value={timeLimit.amount}
            onChange={({ target }) =>
              (state.timeLimit = { ...timeLimit, amount: target.value })
            }
            {...aria}
          />
        )}
        <HTMLSelect
          id={isLimited ? undefined : idOf('timeout')}
          className="jp-sessions-form-select"
          aria-label={trans.__('Unit')}
          value={timeLimit.unit}
          onChange={({ target }) => {
            const unit = target.value as TimeUnit;
            state.timeLimit = { amount: timeLimit.amount || '1', unit };
          }}
          {...(isLimited ? {} : aria)}
        >
          {(maximum === null || !isLimited) && (
            <option value="none">{trans.__('No limit')}</option>
          )}
          <option value="minutes">{trans.__('minutes')}</option>
          <option value="hours">{trans.__('hours')}</option>
          <option value="days">{trans.__('days')}</option>
        </HTMLSelect>
      </div>
    </Field>
  );
}
