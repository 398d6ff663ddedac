/** The user's settings, as `schema/plugin.json` describes them. */

import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal, type ISignal } from '@lumino/signaling';

export interface ISettings {
  openIn: 'app' | 'lab' | 'browser';
  askBeforeStart: 'choices' | 'required' | 'always';
  confirmStop: boolean;
  notifications: { ready: boolean; failed: boolean; expiring: boolean };
  launcher: 'all' | 'available' | 'none';
  statusBar: boolean;
}

const DEFAULTS: ISettings = {
  openIn: 'app',
  askBeforeStart: 'choices',
  confirmStop: true,
  notifications: { ready: true, failed: true, expiring: true },
  launcher: 'all',
  statusBar: true
};

/** The settings as they are now; the defaults until, and unless, they are loaded. */
export class Settings {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get now(): Readonly<ISettings> {
    return this._now;
  }

  /** Change one of them for good. */
  async set<K extends keyof ISettings>(name: K, value: ISettings[K]): Promise<void> {
    this._take({ ...this._now, [name]: value });
    await this._source?.set(name, value);
  }

  async load(registry: ISettingRegistry, plugin: string): Promise<void> {
    const source = await registry.load(plugin);
    this._source = source;
    const read = (): void => {
      this._take({ ...DEFAULTS, ...(source.composite as Partial<ISettings>) });
    };
    source.changed.connect(read);
    read();
  }

  private _take(settings: ISettings): void {
    this._now = settings;
    this._changed.emit();
  }

  private readonly _changed = new Signal<this, void>(this);
  private _source: ISettingRegistry.ISettings | undefined;
  private _now: ISettings = DEFAULTS;
}
