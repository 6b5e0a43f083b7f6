/** Checks the pages: their links must work in the repository and in the package, and their commands and options must exist. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import Ajv from 'ajv';
import { IGVMFILEGEN, IGVMINSPECT, NX_IGVM } from '../cli/programs';
import { ERROR_CODES } from '../errors/codes';
import { parseInitrd } from '../initrd/load-initrd';
import { parseManifest } from '../manifest/load-manifest';
import { commandsOf } from './options-reference';
import { collection } from './generated-files';
import type { JsonSchema } from './describe-schema';
import { allSnippets, commandsOf as linesOf, pagesOf, README_TEMPLATES, snippetsOf } from './snippets.fixture';

const ROOT = join(__dirname, '..', '..');
const REPOSITORY = /^https:\/\/github\.com\/nx-igvm\/nx-igvm\/(?:blob|tree)\/main\//;
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const PAGES = pagesOf(ROOT);

/** Whether a file is part of the package, according to `files` in package.json. */
function isPacked(path: string): boolean {
  const { files } = JSON.parse(read('package.json')) as { files: string[] };
  if (['README.md', 'LICENSE', 'package.json'].includes(path)) return true;
  const matches = (pattern: string): boolean => posix.matchesGlob(path, pattern) || path.startsWith(`${pattern}/`);
  const excluded = files.filter((pattern) => pattern.startsWith('!')).some((pattern) => matches(pattern.slice(1)));
  return !excluded && files.filter((pattern) => !pattern.startsWith('!')).some(matches);
}

const withoutCode = (text: string): string => text.replace(/^( *)```.*?^\1```/gms, '').replace(/`[^`\n]*`/g, '``');
const linksOf = (page: string): string[] =>
  [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target as string);

/** The anchors of a page. GitHub makes them from the headings. */
const anchorsOf = (page: string): string[] =>
  [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );

describe.each(PAGES)('%s', (page) => {
  it('has only links that work, in the repository and in the package', () => {
    for (const link of linksOf(page)) {
      const own = REPOSITORY.test(link);
      if (/^[a-z]+:/.test(link) && !own) continue;
      const [path = '', anchor] = link.replace(REPOSITORY, '').split('#');
      const target = path === '' ? page : own ? path : posix.join(dirname(page), path);
      expect([link, existsSync(join(ROOT, target))]).toEqual([link, true]);
      if (!own && isPacked(page)) expect([link, isPacked(target)]).toEqual([link, true]);
      if (anchor !== undefined) expect(anchorsOf(target)).toContain(anchor);
    }
  });
});

/** The files and folders of the repository that a page names in backticks. `scripts/extract-vmlinux` is in the kernel's repository. */
const pathsIn = (page: string): string[] =>
  [...read(page).matchAll(/`((?:src|e2e|scripts|bench|fuzz|conformance|docs|schemas|\.ci|\.github)\/[\w./-]*)`/g)]
    .map(([, path]) => path as string)
    .filter((path) => path !== 'scripts/extract-vmlinux');

describe('the files named in pages', () => {
  it('are found', () => expect(pathsIn('docs/architecture.md').length).toBeGreaterThan(40));

  it.each(PAGES)('exist: %s', (page) => {
    expect(pathsIn(page).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

describe('the links in messages', () => {
  it('are URLs, because users may have only the package, and lead to existing pages', () => {
    const cures = Object.values(ERROR_CODES).map(({ cure }) => cure);
    const named = cures.flatMap((cure) => cure.match(/\S*docs\/[\w./-]+/g) ?? []);
    expect(named.length).toBeGreaterThan(3);
    for (const link of named) {
      expect(link).toMatch(REPOSITORY);
      expect(existsSync(join(ROOT, link.replace(REPOSITORY, '').replace(/\.$/, '')))).toBe(true);
    }
  });
});

const SNIPPETS = allSnippets(ROOT).filter(({ page }) => !README_TEMPLATES.includes(page));

/** The beginning of lines in shell snippets that run other programs, whose options are not checked. */
const OTHERS =
  /^(?:npm|pnpm|yarn|bunx?|npx (?:create-nx-workspace|jest|oxlint|biome|tsc)|[A-Z_]+=\S+ (?:npm|npx)|openssl|git|cargo|cat|qemu-system-x86_64|jq|cd|diff|dotnet|node|sudo|nproc|snpguest) ?/;

/** The options of Nx itself. */
const NX_OPTIONS = [
  'json',
  'web',
  'base',
  'affected',
  'verbose',
  'skip-nx-cache',
  'dry-run',
  'target',
  't',
  'file',
  'print',
  'batch',
];

const GENERATORS = new Map(collection(ROOT, 'generators').map((entry) => [entry.name, entry]));
const EXECUTORS = new Map(collection(ROOT, 'executors').map((entry) => [entry.name, entry]));
const PROGRAMS = new Map([NX_IGVM, IGVMFILEGEN, IGVMINSPECT].map((program) => [program.name, commandsOf(program)]));

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The mistake in a command line, if there is one. */
function faultOf(line: string): string | undefined {
  const words = line
    .replace(/\$\([^)]*\)/g, 'OUTPUT')
    .replace(/^npx (?:-p nx-igvm )?(?=nx|igvm)/, '')
    .split(/\s+/);
  const [program = '', command = '', third = ''] = words;
  // The options after `--` are for a VMM.
  const own = words.includes('--') ? words.slice(0, words.indexOf('--')) : words;
  const flags = own.flatMap((word) => /^--?([a-z][\w-]*)/i.exec(word)?.[1] ?? []);
  // If only a workspace has the package, its commands aren't in PATH.
  if (PROGRAMS.has(line.split(' ')[0] ?? '')) return 'no npx before the command';
  const known = PROGRAMS.get(program);
  if (known !== undefined) {
    const called = known.find((each) => each.name() === command);
    if (called === undefined) return `no command ${command}`;
    const names = called.options.flatMap(({ long, short }) => [long?.slice(2), short?.slice(1)]);
    return flags.find((flag) => !names.includes(flag) && flag !== 'verbose' && flag !== 'help');
  }
  if (program !== 'nx') return OTHERS.test(line) ? undefined : `unknown program ${program}`;
  const entry =
    command === 'g'
      ? GENERATORS.get(third.replace('nx-igvm:', ''))
      : EXECUTORS.get(command.replace('boot-test', 'boot'));
  const target = command === 'run' ? EXECUTORS.get(third.split(':')[1] ?? '') : entry;
  if (command === 'g' && entry === undefined) return `no generator ${third}`;
  if (target === undefined) return undefined;
  const options = Object.keys(target.schema.properties ?? {}).flatMap((name) => [name, kebab(name)]);
  if (target.name === 'boot') return undefined;
  return flags.find((flag) => !options.includes(flag) && !NX_OPTIONS.includes(flag));
}

const schemaOf = (name: string): JsonSchema => JSON.parse(read(`schemas/${name}.schema.json`)) as JsonSchema;

/** Checks a value against a part of a published schema. */
function fits(name: string, keys: string[], value: unknown): void {
  const whole = schemaOf(name);
  const part = keys.reduce((schema, key) => schema.properties![key]!, whole);
  const ajv = new Ajv({ strict: false, allErrors: true });
  expect([ajv.validate({ ...part, definitions: whole.definitions }, value), ajv.errors]).toEqual([true, null]);
}

describe('the snippets in all pages', () => {
  it('are found', () => {
    const count = (language: string): number => SNIPPETS.filter((each) => each.language === language).length;
    expect([count('sh') > 25, count('json') > 6, count('js') > 4]).toEqual([true, true, true]);
  });

  it.each(SNIPPETS.filter(({ language }) => language === 'sh'))(
    'have commands and options that exist: $page $text',
    ({ text }) => {
      const lines = linesOf(text).flatMap((line) => line.split(' && '));
      for (const line of lines) expect([line, faultOf(line)]).toEqual([line, undefined]);
    },
  );

  it.each(SNIPPETS.filter(({ language }) => language === 'json'))(
    'are valid JSON of a known kind: $page',
    ({ text }) => {
      const value = JSON.parse(text) as Record<string, unknown>;
      if ('guest_arch' in value) parseManifest(text, 'igvm.json', { strict: true });
      else if (['folder', 'image', 'modules'].some((key) => key in value))
        parseInitrd(Buffer.from(text), '/initrd.json');
      else if ('plugins' in value)
        for (const { options } of value['plugins'] as { options: object }[]) fits('plugin-options', [], options);
      else if ('linux_kernel' in value) fits('igvm', ['resources'], value);
      else if (Object.keys(value).every((key) => key in schemaOf('igvm').properties!)) {
        for (const [key, part] of Object.entries(value)) fits('igvm', [key], part);
      } else {
        // A target of a project, which e2e/pages.e2e.ts runs, or a schema for editors, which editor.spec.ts uses.
        expect(Object.keys(value)).toEqual(
          expect.arrayContaining([expect.stringMatching(/^(?:targets|allOf|json\.schemas)$/)]),
        );
      }
    },
  );

  it.each(SNIPPETS.filter(({ language }) => language === 'js'))(
    'in JavaScript are in the pages that e2e/library.e2e.ts runs: $page',
    ({ page, text }) => {
      expect(['README.md', 'docs/library.md']).toContain(page);
      expect(page === 'README.md' || /^\/\/ [\w-]+\.\w?js\n/.test(text)).toBe(true);
    },
  );

  it.each(allSnippets(ROOT))(
    'are run, or give a reason why not: $page $language $notRun',
    ({ page, language, text, notRun }) => {
      // Commands for the reader are `sh`, which e2e/pages.e2e.ts runs. Output and synopses are `text`.
      expect(['sh', 'json', 'js', 'text']).toContain(language);
      if (notRun !== undefined) expect([language, notRun]).toEqual(['sh', expect.stringMatching(/^\w.{20,}$/)]);
      if (language === 'text' && page !== 'docs/cli.md')
        expect(text).not.toMatch(/^(?:npx|nx|nx-igvm|npm|git|cargo|sudo|qemu-\S+) /m);
    },
  );

  it.each([...PAGES, ...README_TEMPLATES])('have their reasons on the line directly before them: %s', (page) => {
    const marks = read(page).match(/<!-- not run/g) ?? [];
    expect(marks).toHaveLength(snippetsOf(page, read(page)).filter(({ notRun }) => notRun !== undefined).length);
  });
});
