import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NX_IGVM } from '../cli/programs';
import { type CollectionEntry, commandsOf, examplesOf } from './options-reference';
import { collection } from './generated-files';

const ROOT = join(__dirname, '..', '..');
const executors = collection(ROOT, 'executors');
const generators = collection(ROOT, 'generators');
const all = [...executors, ...generators];

/** The names of the options of an executor or generator. */
const optionsOf = (entry: CollectionEntry): string[] => Object.keys(entry.schema.properties ?? {});
const camelCase = (name: string): string => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

describe('the help for executors and generators', () => {
  it('is checked for all of them', () => {
    expect(executors.length).toBeGreaterThan(7);
    expect(generators.length).toBeGreaterThan(6);
    expect(existsSync(join(ROOT, 'executors.json'))).toBe(true);
  });

  it.each(all)('has examples that Nx can print, and their options exist: $name', (entry) => {
    const examples = examplesOf(entry.schema);
    expect(examples.length).toBeGreaterThan(entry.name === 'init' ? -1 : 0);
    for (const { command, description } of examples) {
      expect(command).toMatch(/^(?:npx |nx )/);
      expect(description).toMatch(/^[A-Z].*[^.]$/);
      const [, other] = /^nx g nx-igvm:(\S+)/.exec(command) ?? [];
      const described = other === undefined ? entry : generators.find(({ name }) => name === other);
      if (command.startsWith('npx')) continue;
      for (const [, flag] of command.matchAll(/ --([\w-]+)/g)) expect(optionsOf(described!)).toContain(flag);
    }
  });

  it.each(all)('describes every option: $name', ({ schema }) => {
    for (const [name, option] of Object.entries(schema.properties ?? {})) {
      expect([name, option.description]).toEqual([name, expect.stringMatching(/\S/)]);
    }
  });
});

describe('an executor and the command of the same name', () => {
  const commands = new Map(commandsOf(NX_IGVM).map((command) => [command.name(), command]));
  const pairs = executors.flatMap((executor) => {
    const command = commands.get(executor.name);
    return command === undefined ? [] : command.options.map((option) => ({ executor, option, name: executor.name }));
  });

  it('are compared', () => {
    expect(new Set(pairs.map(({ name }) => name))).toEqual(
      new Set([
        'boot',
        'build',
        'fetch',
        'initrd',
        'inspect',
        'measure',
        'reference-values',
        'verify',
        'verify-report',
      ]),
    );
  });

  it.each(pairs.map(({ name, executor, option }) => [name, option.long, executor, option] as const))(
    '%s %s have the same default and values',
    (_, __, { schema }, option) => {
      const property = schema.properties?.[camelCase(option.attributeName())];
      if (property === undefined) return;
      const text = (value: unknown): string | undefined =>
        value === undefined || value === false ? undefined : JSON.stringify(value).replaceAll('"', '');
      expect(text(option.defaultValue)).toBe(text(property.default));
      if (option.argChoices !== undefined && property.enum !== undefined) {
        expect(option.argChoices).toEqual(expect.arrayContaining(property.enum as string[]));
      }
    },
  );
});
