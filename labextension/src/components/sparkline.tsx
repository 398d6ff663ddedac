/** A plot the size of a word. */

import * as React from 'react';

export interface ISparklineProps {
  /** Oldest first. */
  values: readonly number[];
  /** The value at the top, at the least: so that little noise looks little. */
  least: number;
  /** How many values the whole width is for. */
  span: number;
  /** What it shows, for those who cannot see it. */
  label: string;
}

const WIDTH = 44;
const HEIGHT = 16;

export function Sparkline({
  values,
  least,
  span,
  label
}: ISparklineProps): React.JSX.Element {
  const top = Math.max(least, ...values);
  const step = WIDTH / (span - 1);
  const left = WIDTH - (values.length - 1) * step;
  const points = values.map(
    (value, n) =>
      `${(left + n * step).toFixed(1)},${(HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`
  );
  return (
    <svg
      className="jp-sessions-sparkline"
      width={WIDTH}
      height={HEIGHT}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={label}
    >
      {points.length > 1 && (
        <>
          <polygon
            points={`${left.toFixed(1)},${HEIGHT} ${points.join(' ')} ${WIDTH},${HEIGHT}`}
          />
          <polyline points={points.join(' ')} />
        </>
      )}
      <line x1="0" x2={WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
    </svg>
  );
}
