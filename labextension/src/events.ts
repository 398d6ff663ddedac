/** Changes of sessions, as the server tells them over Jupyter's event bus. */

import { EventManager, type Event, type ServerConnection } from '@jupyterlab/services';
import { Signal, type ISignal } from '@lumino/signaling';
import type { ISessionEvent, ISessionEvents } from './tokens';

/** Of the server's `events.py`. */
const SCHEMA_ID = 'https://schema.jupyter.org/jupyter_sessions/session/v1';

/**
 * Listens to the event bus.
 *
 * Lab's shared `serviceManager.events` connects again by itself, but tells nobody, and the server
 * repeats nothing of what was missed meanwhile. So this is an `EventManager` of its own, the same
 * in all else, whose socket is watched: who listens knows when to ask for what was missed.
 */
export class SessionEvents implements ISessionEvents {
  constructor(settings: ServerConnection.ISettings) {
    this._manager = new EventManager({
      serverSettings: {
        ...settings,
        WebSocket: watched(settings.WebSocket, open => this._setConnected(open))
      }
    });
    this._manager.stream.connect(this._onEmission, this);
  }

  get happened(): ISignal<this, ISessionEvent> {
    return this._happened;
  }

  get connectedChanged(): ISignal<this, boolean> {
    return this._connectedChanged;
  }

  get connected(): boolean {
    return this._connected;
  }

  get isDisposed(): boolean {
    return this._manager.isDisposed;
  }

  dispose(): void {
    this._manager.dispose();
    Signal.clearData(this);
  }

  private _onEmission(_: unknown, emission: Event.Emission): void {
    if (emission.schema_id === SCHEMA_ID) {
      this._happened.emit(emission as unknown as ISessionEvent);
    }
  }

  private _setConnected(connected: boolean): void {
    if (connected !== this._connected && !this.isDisposed) {
      this._connected = connected;
      this._connectedChanged.emit(connected);
    }
  }

  private _connected = false;
  private readonly _happened = new Signal<this, ISessionEvent>(this);
  private readonly _connectedChanged = new Signal<this, boolean>(this);
  private readonly _manager: EventManager;
}

/** `Base`, telling when it opens and closes. */
function watched(
  Base: typeof WebSocket,
  tell: (open: boolean) => void
): typeof WebSocket {
  return class extends Base {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      this.addEventListener('open', () => tell(true));
      this.addEventListener('close', () => tell(false));
    }
  };
}
