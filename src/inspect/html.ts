import { printable } from '../errors/printable';

/** Markup that is safe in a page. Only {@link html} and {@link trusted} create it. */
export class Html {
  constructor(readonly text: string) {}
}

/** What a template may contain. Text and numbers are escaped; markup and lists of markup are not. */
export type HtmlPart = Html | string | number | false | undefined | readonly HtmlPart[];

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * Text that is safe between tags and in quoted attributes. Characters without a glyph, or that reorder the text around them, are
 * spelled out, so that a name from a file can't disguise itself.
 */
export const escapeHtml = (text: string): string =>
  printable(text).replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '');

/** A template whose values are escaped unless they are markup themselves. `false` and `undefined` are left out. */
export function html(strings: TemplateStringsArray, ...parts: HtmlPart[]): Html {
  return new Html(strings.map((text, index) => text + (index < parts.length ? render(parts[index]) : '')).join(''));
}

/** Markup written in this package, such as its style sheet. Never use this for anything from a file. */
export const trusted = (markup: string): Html => new Html(markup);

function render(part: HtmlPart): string {
  if (part === undefined || part === false) return '';
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(render).join('');
  return escapeHtml(String(part));
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** A size as people write it: in the largest unit that gives at least 1, with at most one decimal. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 1 : 0 })} ${UNITS[unit]}`;
}

/** A number as people write it. */
export const countText = (value: number): string => value.toLocaleString('en-US');

/** Text with a capital first letter, for headings and sentences. */
export const capitalized = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
