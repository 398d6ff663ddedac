/** What a session uses: processors and memory. */

import * as React from 'react';
import { bytes } from '../format';
import { usePanel } from './context';
import { useSignal } from './hooks';
import { Sparkline } from './sparkline';

/** As many samples as the runner keeps. */
const SPAN = 60;
const LEAST_CPU = 1;
const LEAST_MEMORY = 256 * 1024 * 1024;

export function Usage({ id }: { id: string }): React.JSX.Element | null {
  const { model, trans } = usePanel();
  const usage = useSignal(model.usageChanged, () => model.usage[id]);
  if (!usage) {
    return null;
  }
  const percent = trans.__('%1 %', Math.round(usage.cpu * 100));
  const memory = bytes(usage.memory);
  return (
    <div className="jp-sessions-usage">
      <span title={trans.__('Processor time; 100 % is one processor')}>
        <Sparkline
          values={usage.samples.map(sample => sample[1])}
          least={LEAST_CPU}
          span={SPAN}
          label={trans.__('Processor use over the last minutes')}
        />
        {percent}
      </span>
      <span
        title={trans._n(
          'Memory of %1 process',
          'Memory of %1 processes',
          usage.processes
        )}
      >
        <Sparkline
          values={usage.samples.map(sample => sample[2])}
          least={LEAST_MEMORY}
          span={SPAN}
          label={trans.__('Memory use over the last minutes')}
        />
        {memory}
      </span>
    </div>
  );
}
