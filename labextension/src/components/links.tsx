/** What an app offers to open besides itself, as small links. */

import * as React from 'react';
import { linkTarget } from '../format';
import type { ISession } from '../tokens';

export function Links(props: {
  session: ISession;
  isTabStop?: boolean;
}): React.JSX.Element | null {
  const { session, isTabStop = true } = props;
  if (session.links.length === 0) {
    return null;
  }
  return (
    <ul className="jp-sessions-links">
      {session.links.map(link => (
        <li key={link.url}>
          <a
            href={link.url}
            target={linkTarget(session.id, link)}
            title={link.title}
            tabIndex={isTabStop ? 0 : -1}
          >
            {link.title}
          </a>
        </li>
      ))}
    </ul>
  );
}
