import { describe, expect, it } from 'vitest';
import { appIcon, sessionsIcon } from '../../labextension/src/icons';
import { SessionsModel } from '../../labextension/src/model';
import { app, FakeTransport } from './fakes';

async function withApps(...apps: ReturnType<typeof app>[]): Promise<SessionsModel> {
  const server = new FakeTransport();
  server.offered = apps;
  const model = new SessionsModel(server);
  await model.ready;
  return model;
}

describe('the icon of an app', () => {
  it('is a general one while nothing is known of the app', async () => {
    const model = await withApps();
    expect(appIcon(model, 'unheard')).toBe(sessionsIcon);
    model.dispose();
  });

  it('is a picture, in which no script runs', async () => {
    const model = await withApps(app({ name: 'pictured', icon: true }));
    const icon = appIcon(model, 'pictured');
    await Promise.resolve();
    await new Promise(resolve => setTimeout(resolve));
    expect(icon.svgstr).toContain('<image ');
    expect(icon.svgstr).toContain('href="data:image/svg+xml;base64,');
    expect(appIcon(model, 'pictured')).toBe(icon);
    model.dispose();
  });

  it('has another name if the app cannot be started, for styles to tell', async () => {
    const model = await withApps(app({ name: 'absent', available: false }));
    expect(appIcon(model, 'absent').name).toBe('jupyter-sessions:unavailable-absent');
    model.dispose();
  });
});
