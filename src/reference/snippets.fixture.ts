/** The snippets in the pages. e2e/pages.e2e.ts runs the shell snippets, except those that the page marks as not run. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface PageSnippet {
  /** Path in the repository. */
  page: string;
  /** The word after the three backticks. */
  language: string;
  text: string;
  /** The reason why it isn't run, from a comment `<!-- not run: REASON -->` in the line before it. */
  notRun?: string;
}

/** The templates for READMEs of generated projects. */
export const README_TEMPLATES = [
  'src/generators/guest-image/files/README.md.template',
  'src/generators/initrd/files/project/README.md.template',
];

const markdownBelow = (root: string, folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => `${folder}/${path.replaceAll('\\', '/')}`)
    .sort();

/** The paths of all pages in the repository. @param root the repository */
export const pagesOf = (root: string): string[] => [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'bench/README.md',
  'fuzz/README.md',
  'conformance/README.md',
  ...markdownBelow(root, 'docs'),
];

const FENCE = /^(?:<!-- not run: (.*?) -->\n)?( *)```([\w-]*)\n(.*?)^\2```$/gms;

/** The snippets of a page, in order. */
export function snippetsOf(page: string, text: string): PageSnippet[] {
  return [...text.matchAll(FENCE)].map(([, notRun, , language = '', code = '']) => ({
    page,
    language,
    text: code,
    ...(notRun === undefined ? {} : { notRun }),
  }));
}

/** The snippets of all pages and templates. @param root the repository */
export const allSnippets = (root: string): PageSnippet[] =>
  [...pagesOf(root), ...README_TEMPLATES].flatMap((page) => snippetsOf(page, readFileSync(join(root, page), 'utf8')));

/** The commands of a shell snippet, without comments. A line that ends in a backslash continues in the next one. */
export const commandsOf = (text: string): string[] =>
  text
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
    .map((line) => line.replace(/(?:^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
