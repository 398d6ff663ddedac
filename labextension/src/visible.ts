/** Text of strangers, to be read by people who decide by it. Pure. */

/** Characters that show as nothing, or let text read in another order than it has. */
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** `text` with its hidden characters written out: `‹U+202E›`. */
export function visible(text: string): string {
  return text
    .replace(/\r\n/g, '\n')
    .replace(
      HIDDEN,
      character =>
        `‹U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}›`
    );
}
