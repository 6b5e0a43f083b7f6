/** Tests the schemas with the JSON service of VS Code, in place of an editor. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import Ajv from 'ajv';
import {
  type CompletionItem,
  type Diagnostic,
  getLanguageService,
  type JSONSchema,
  type LanguageService,
  TextDocument,
} from 'vscode-json-languageservice';
import { parseInitrd } from '../initrd/load-initrd';
import { parseManifest } from '../manifest/load-manifest';
import type { JsonSchema } from './describe-schema';
import { generatedFiles } from './generated-files';
import { allSchemas, EDITOR_KEYWORDS } from './schemas';

const ROOT = join(__dirname, '..', '..');
const generated = generatedFiles(ROOT);
const SCHEMAS = Object.entries(generated)
  .filter(([path]) => path.endsWith('.json'))
  .map(([path, text]): [string, JsonSchema] => [path, JSON.parse(text) as JsonSchema]);
const schemaOf = (name: string): JsonSchema => SCHEMAS.find(([path]) => path === `schemas/${name}.schema.json`)![1];

/** An editor that uses the schema for every file. */
function editor(schema: JsonSchema): LanguageService {
  const service = getLanguageService({
    clientCapabilities: {
      textDocument: {
        completion: { completionItem: { documentationFormat: ['markdown'] } },
        hover: { contentFormat: ['markdown'] },
      },
    },
  });
  service.configure({ schemas: [{ uri: 'test://schema.json', fileMatch: ['*'], schema: schema as JSONSchema }] });
  return service;
}

/** Parses a text in which `|` marks the cursor. */
function at(marked: string): [TextDocument, number] {
  const offset = marked.indexOf('|');
  return [TextDocument.create('file:///a/file.json', 'json', 1, marked.replace('|', '')), offset];
}

async function completions(service: LanguageService, marked: string): Promise<CompletionItem[]> {
  const [document, offset] = at(marked);
  const result = await service.doComplete(document, document.positionAt(offset), service.parseJSONDocument(document));
  return result?.items ?? [];
}

async function hover(service: LanguageService, marked: string): Promise<string> {
  const [document, offset] = at(marked);
  const result = await service.doHover(document, document.positionAt(offset), service.parseJSONDocument(document));
  return (result?.contents as string[] | undefined)?.join('') ?? '';
}

const messageOf = ({ message }: Diagnostic): string => (typeof message === 'string' ? message : message.value);

async function problems(service: LanguageService, text: string): Promise<string[]> {
  const document = TextDocument.create('file:///a/file.json', 'json', 1, text);
  const found = await service.doValidation(document, service.parseJSONDocument(document));
  return found.map(messageOf);
}

/** The text that a completion inserts, with its placeholders unchanged. */
function inserted({ textEdit, insertText }: CompletionItem): string {
  const text = textEdit?.newText ?? insertText ?? '';
  return text.replace(/\$\{\d+:((?:[^}\\]|\\.)*)\}/g, '$1').replace(/\\([$}\\])/g, '$1');
}

/** A part of a schema as a complete schema. */
const standingAlone = (part: JsonSchema, whole: JsonSchema): JsonSchema => ({
  ...part,
  ...(whole.definitions === undefined ? {} : { definitions: whole.definitions }),
});

describe.each(SCHEMAS)('%s in an editor', (path, schema) => {
  const parts = allSchemas(schema);
  const objects = parts.filter(([each]) => each.properties !== undefined);

  it('describes every key, as text and as Markdown', () => {
    const keys = objects.flatMap(([each, at]) =>
      Object.entries(each.properties!).map(([key, property]): [string, JsonSchema] => [`${at}.${key}`, property]),
    );
    expect(keys.length).toBeGreaterThan(8);
    const wrong = keys.filter(
      ([, { description = '', markdownDescription = '' }]) =>
        !/^\S.*\.$/s.test(markdownDescription) || description !== markdownDescription.replaceAll('`', ''),
    );
    expect(wrong.map(([key]) => key)).toEqual([]);
  });

  it('describes every value of an enum', async () => {
    for (const [part, at] of parts) {
      if (part.enum === undefined) continue;
      const meanings = [part.markdownEnumDescriptions?.length, (part['enumDescriptions'] as string[])?.length];
      expect([at, ...meanings]).toEqual([at, part.enum.length, part.enum.length]);
      const service = editor(standingAlone({ type: 'object', properties: { key: part } }, schema));
      for (const [index, value] of part.enum.entries()) {
        const text = await hover(service, `{ "key": |${JSON.stringify(value)} }`);
        expect(text).toContain(part.markdownEnumDescriptions![index]);
      }
    }
  });

  it('completes every key with a colon and the start of a value', async () => {
    for (const [part, at] of objects) {
      const items = await completions(editor(standingAlone(part, schema)), '{ | }');
      for (const key of Object.keys(part.properties!)) {
        const item = items.find(({ label }) => label === key);
        expect([at, key, item?.textEdit?.newText]).toEqual([at, key, expect.stringMatching(/^"[^"]+": ./)]);
        expect(item?.documentation).toMatchObject({ kind: 'markdown', value: expect.stringMatching(/./) });
      }
    }
  });

  it('inserts only values that it accepts', async () => {
    let count = 0;
    for (const [part, at] of parts) {
      if (part.defaultSnippets === undefined && part.examples === undefined) continue;
      const service = editor(standingAlone({ type: 'object', properties: { key: part } }, schema));
      for (const item of await completions(service, '{ "key": | }')) {
        if (item.documentation === undefined && ['{}', '[]', '""', '0'].includes(item.label)) continue;
        const text = `{ "key": ${inserted(item)} }`;
        expect([at, text, await problems(service, text)]).toEqual([at, text, []]);
        count += 1;
      }
    }
    expect(count).toBeGreaterThan(path.includes('lock') ? -1 : 3);
  });

  it('can be used by a validator, which in strict mode has to know the keywords for editors', () => {
    expect(() => new Ajv({ strict: false }).compile(schema)).not.toThrow();
    const strict = new Ajv({ strict: true, allowUnionTypes: true });
    strict.addVocabulary([...EDITOR_KEYWORDS]);
    expect(() => strict.compile(schema)).not.toThrow();
  });
});

describe('igvm.json in an editor', () => {
  const service = editor(schemaOf('igvm'));
  const guest = (rest: string): string =>
    `{ "guest_arch": "x64", "guest_configs": [{ "guest_svn": 1, "max_vtl": 0, ${rest} }] }`;

  it('is offered complete guests that a build accepts', async () => {
    const items = await completions(service, '{ "guest_arch": "x64", "guest_configs": [|] }');
    const guests = items.filter(({ label }) => /Linux/.test(label));
    expect(guests.length).toBe(5);
    for (const item of guests) {
      const text = `{ "guest_arch": "x64", "guest_configs": [${inserted(item)}] }`;
      expect(parseManifest(text, 'igvm.json', { strict: true }).manifest.guest_configs).toHaveLength(1);
    }
  });

  it('is offered a complete value for each isolation type', async () => {
    const items = await completions(service, guest('"isolation_type": |'));
    const found = items.map((item) => inserted(item).replace(/\s+/g, ' '));
    expect(found).toEqual(
      expect.arrayContaining([
        '"none"',
        '{ "vbs": { "enable_debug": false } }',
        '{ "tdx": { "enable_debug": false, "sept_ve_disable": true } }',
        '{ "snp": { "policy": 196608, "enable_debug": false, "injection_type": "normal", "secure_avic": "disabled" } }',
      ]),
    );
  });

  it('is offered all forms of a resource', async () => {
    const items = await completions(service, '{ "resources": { "linux_kernel": | } }');
    const found = items.map((item) => inserted(item).replace(/\s+/g, ' '));
    expect(found).toEqual(
      expect.arrayContaining([
        '"boot/vmlinuz"',
        '{ "project": "project", "target": "build", "path": "dist/project/file" }',
        expect.stringMatching(/^\{ "path": "boot\/vmlinuz", "sha256": "0{64}" \}$/),
      ]),
    );
  });

  it('is offered memory sizes with readable labels', async () => {
    const items = await completions(service, guest('"image": { "linux": { "memory_size": | } }'));
    const size = items.find(({ label }) => label === '536870912 (512 MiB)');
    expect(inserted(size!)).toBe('536870912');
  });

  it('lists all isolation types when one is misspelt, not just "none"', async () => {
    const [message] = await problems(service, guest('"isolation_type": "snp", "image": "none"'));
    expect(message).toBe('Expected one of "none", { "vbs": … }, { "snp": … }, { "tdx": … }.');
    const [other] = await problems(service, guest('"isolation_type": { "sev": {} }, "image": "none"'));
    expect(other).toMatch(/Expected one of|Missing property/);
  });

  it('describes a value on hover, in Markdown', async () => {
    const image = (rest: string): string => guest(`"isolation_type": "none", "image": { "linux": { ${rest} } }`);
    expect(await hover(service, image('"boot_data": "embe|dded"'))).toMatch(/boots unchanged.*`memory_size`/s);
    expect(await hover(service, guest('"isolation_type": "no|ne"'))).toContain('No isolation');
  });
});

describe('initrd.json in an editor', () => {
  it('is offered devices that a build accepts', async () => {
    const service = editor(schemaOf('initrd'));
    const [item] = (await completions(service, '{ "devices": | }')).filter(({ label }) => label === 'The console');
    const text = `{ "devices": ${inserted(item!)} }`;
    expect(parseInitrd(Buffer.from(text), '/initrd.json')).toMatchObject({
      devices: [{ path: '/dev/console', major: 5 }],
    });
  });
});

describe('nx.json in an editor, with the schema from docs/plugin-options.md', () => {
  const page = readFileSync(join(ROOT, 'docs', 'plugin-options.md'), 'utf8');
  const wrapper = [...page.matchAll(/```json\n(.*?)```/gs)]
    .map(([, text = '']) => text)
    .find((text) => text.includes('allOf'))!;

  /** An editor that reads the files of the package `nx-igvm` from this repository, because the package isn't installed. */
  function workspaceEditor(): LanguageService {
    const service = getLanguageService({
      schemaRequestService: (uri) => {
        const path = fileURLToPath(uri).replace(/^.*node_modules.nx-igvm/, ROOT);
        return Promise.resolve(path.endsWith('nx.schema.json') ? wrapper : readFileSync(path, 'utf8'));
      },
      workspaceContext: {
        resolveRelativePath: (path, base) => pathToFileURL(resolve(fileURLToPath(base), '..', path)).href,
      },
    });
    service.configure({ allowComments: true });
    return service;
  }

  const nxJson = (options: string, plugin = 'nx-igvm'): [TextDocument, number] => {
    const text = `{ "$schema": "./nx.schema.json", "plugins": [{ "plugin": "${plugin}", "options": ${options} }] }`;
    const [, offset] = at(text);
    return [TextDocument.create(pathToFileURL(join(ROOT, 'nx.json')).href, 'json', 1, text.replace('|', '')), offset];
  };

  it('checks the options of this plugin only', async () => {
    const service = workspaceEditor();
    const check = async (options: string, plugin?: string): Promise<string[]> => {
      const [document] = nxJson(options, plugin);
      return (await service.doValidation(document, service.parseJSONDocument(document))).map(messageOf);
    };
    expect(await check('{ "build": { "options": { "strict": true } }, "boot": false }')).toEqual([]);
    expect(await check('{ "biuld": "image" }')).toEqual(['Property biuld is not allowed.']);
    expect(await check('{ "biuld": "image" }', 'other')).toEqual([]);
  });

  it('completes the options', async () => {
    const service = workspaceEditor();
    const [document, offset] = nxJson('{ | }');
    const result = await service.doComplete(document, document.positionAt(offset), service.parseJSONDocument(document));
    expect(result!.items.map(({ label }) => label)).toEqual(
      expect.arrayContaining(['build', 'boot-test', 'resourceTargets']),
    );
  });
});
