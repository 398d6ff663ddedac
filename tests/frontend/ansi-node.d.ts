/** The little of Node that tests use: its types would come with much that a browser has not. */
declare module 'node:fs' {
  export function readFileSync(path: string, encoding: 'utf8'): string;
}
