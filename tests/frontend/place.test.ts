import { describe, expect, it } from 'vitest';
import { place } from '../../labextension/src/format';
import { session } from './fakes';

describe('where a session runs', () => {
  it('is the host alone if that is this machine', () => {
    expect(place(session({ host: 'box' }))).toBe('box');
  });

  it('is called as in the form, with the node once there is one', () => {
    const queued = { spawner: 'hpc', spawner_title: 'Cluster', host: '' };
    expect(place(session(queued))).toBe('Cluster');
    expect(place(session({ ...queued, host: 'n1' }))).toBe('Cluster · n1');
  });
});
