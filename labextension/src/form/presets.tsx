/** Named choices: choose, save, delete. */

import { HTMLSelect } from '@jupyterlab/ui-components';
import * as React from 'react';
import { idOf, useForm } from './context';
import { asSentence } from './problems';

/** What people are doing with presets beside choosing one. */
type Doing = 'nothing' | 'saving' | 'deleting';

/** Keys pressed in here are not the dialog's: Enter saves, Escape goes back. */
export const OWN_KEYS = 'jp-sessions-form-ownkeys';

export function Presets(): React.JSX.Element {
  const { state } = useForm();
  const { trans, presets, preset } = state;
  const [doing, setDoing] = React.useState<Doing>('nothing');
  const [problem, setProblem] = React.useState('');
  const row = React.useRef<HTMLDivElement>(null);

  const before = React.useRef(doing);
  React.useEffect(() => {
    if (doing === 'nothing' && before.current !== 'nothing') {
      row.current?.querySelector<HTMLElement>('.jp-sessions-form-save')?.focus();
    }
    before.current = doing;
  }, [doing]);

  const leave = (): void => {
    setDoing('nothing');
    setProblem('');
  };
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      setProblem(asSentence((error as Error).message));
      return;
    }
    leave();
  };

  return (
    <div className="jp-sessions-form-presets" ref={row}>
      <div className="jp-sessions-form-row" hidden={doing !== 'nothing'}>
        {presets.length > 0 && (
          <>
            <label htmlFor={idOf('preset')}>{trans.__('Preset')}</label>
            <HTMLSelect
              id={idOf('preset')}
              className="jp-sessions-form-select"
              value={preset}
              onChange={({ target }) => (state.preset = target.value)}
            >
              <option value="">—</option>
              {presets.map(name => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </HTMLSelect>
          </>
        )}
        {preset && (
          <button
            type="button"
            className="jp-sessions-link"
            onClick={() => setDoing('deleting')}
          >
            {trans.__('Delete')}
          </button>
        )}
        <button
          type="button"
          className="jp-sessions-link jp-sessions-form-save"
          onClick={() => setDoing('saving')}
        >
          {trans.__('Save as preset…')}
        </button>
      </div>
      {doing === 'saving' && (
        <Saving
          onSave={name => attempt(() => state.savePreset(name))}
          onLeave={leave}
        />
      )}
      {doing === 'deleting' && (
        <Deleting
          onDelete={() => attempt(() => state.deletePreset())}
          onLeave={leave}
        />
      )}
      <div className="jp-sessions-form-error" role="alert">
        {problem}
      </div>
    </div>
  );
}

function Saving({
  onSave,
  onLeave
}: {
  onSave: (name: string) => Promise<void>;
  onLeave: () => void;
}): React.JSX.Element {
  const { trans, presets, preset } = useForm().state;
  const [name, setName] = React.useState(preset);
  const [isBusy, setBusy] = React.useState(false);
  const input = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => input.current?.select(), []);
  const trimmed = name.trim();
  const save = async (): Promise<void> => {
    if (trimmed && !isBusy) {
      setBusy(true);
      await onSave(trimmed);
      setBusy(false);
    }
  };
  const isThere = presets.includes(trimmed);
  return (
    <div
      className={`jp-sessions-form-row ${OWN_KEYS}`}
      onKeyDown={event => {
        const isEnter = event.key === 'Enter' && event.target === input.current;
        if (isEnter && !event.nativeEvent.isComposing) {
          event.preventDefault();
          void save();
        } else if (event.key === 'Escape') {
          event.preventDefault();
          onLeave();
        }
      }}
    >
      <label htmlFor={idOf('preset-name')}>{trans.__('Name of the preset')}</label>
      <input
        id={idOf('preset-name')}
        ref={input}
        className="jp-mod-styled"
        type="text"
        maxLength={100}
        value={name}
        autoComplete="off"
        aria-describedby={idOf('preset-note')}
        onChange={({ target }) => setName(target.value)}
      />
      <button
        type="button"
        className="jp-sessions-link"
        disabled={!trimmed}
        onClick={() => void save()}
      >
        {isThere ? trans.__('Overwrite') : trans.__('Save')}
      </button>
      <button type="button" className="jp-sessions-link" onClick={onLeave}>
        {trans.__('Back')}
      </button>
      <span
        id={idOf('preset-note')}
        className="jp-sessions-form-description"
        role="status"
      >
        {isThere ? trans.__('There is a preset of this name: it is replaced.') : ''}
      </span>
    </div>
  );
}

function Deleting({
  onDelete,
  onLeave
}: {
  onDelete: () => Promise<void>;
  onLeave: () => void;
}): React.JSX.Element {
  const { trans, preset } = useForm().state;
  const button = React.useRef<HTMLButtonElement>(null);
  React.useEffect(() => button.current?.focus(), []);
  return (
    <div
      className={`jp-sessions-form-row ${OWN_KEYS}`}
      role="group"
      aria-labelledby={idOf('preset-question')}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.preventDefault();
          onLeave();
        }
      }}
    >
      <span id={idOf('preset-question')}>
        {trans.__('Delete the preset “%1”?', preset)}
      </span>
      <button
        type="button"
        ref={button}
        className="jp-sessions-link"
        onClick={() => void onDelete()}
      >
        {trans.__('Delete')}
      </button>
      <button type="button" className="jp-sessions-link" onClick={onLeave}>
        {trans.__('Keep')}
      </button>
    </div>
  );
}
