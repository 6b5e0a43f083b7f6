import { execFileSync, execSync } from 'node:child_process';
import fc from 'fast-check';
import fs from 'node:fs';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  decodeRequests,
  encodeRequests,
  hashFiles,
  HashMemory,
  type HashRequest,
  requestsOf,
  runtimeInput,
  withoutMembers,
} from './hash-files';
import { Workspace } from './workspace.fixture';

let workspace: Workspace;
let memory: HashMemory;
beforeEach(() => {
  workspace = new Workspace();
  memory = new HashMemory(join(workspace.root, 'memory'));
});
afterEach(() => {
  jest.restoreAllMocks();
  workspace.remove();
});

const NEVER: unknown = expect.stringMatching(/^never-[0-9a-f-]{36}$/);
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const hash = (...requests: HashRequest[]) => hashFiles(requests, workspace.root, memory).split('\n').slice(0, -1);

describe('the runtime input', () => {
  it('has one line for each request, which depends only on the content', () => {
    workspace.write('a', 'one');
    workspace.write('sub/b', 'two');
    workspace.link('c', 'sub/b');
    expect(hash({ file: 'a' }, { file: join(workspace.root, 'a') }, { file: 'c' })).toEqual([
      sha256('one'),
      sha256('one'),
      sha256('two'),
    ]);
  });

  it('hashes a manifest without some keys, if it can be read', () => {
    const request = { json: 'igvm.json', without: ['launches'] };
    const of = (text: string): string => {
      workspace.write('igvm.json', text);
      return hash(request)[0]!;
    };
    const one = of('{"a": 1, "launches": [1]}');
    expect(one).toBe(sha256('{"a": 1}'));
    expect([of('{"a": 1, "launches": [2]}'), of('{"launches": 3, "a": 1}')]).toEqual([one, one]);
    expect(of('{"a": 2, "launches": [1]}')).not.toBe(one);
    expect(of('no JSON')).toBe(sha256('no JSON'));
    expect(hash({ json: 'nowhere', without: [] }, { json: '.', without: [] })).toEqual(['missing', NEVER]);
  });

  it('finds a program in PATH', () => {
    const { PATH } = process.env;
    workspace.write('tools/loader', 'one');
    chmodSync(join(workspace.root, 'tools/loader'), 0o755);
    process.env['PATH'] = join(workspace.root, 'tools');
    try {
      expect(hash({ program: 'loader' })).toEqual([sha256('one')]);
      expect(hash({ program: 'other' })).toEqual(['missing']);
    } finally {
      process.env['PATH'] = PATH;
    }
  });

  it('distinguishes a missing file from something that is not a regular file', () => {
    workspace.write('file');
    workspace.link('dangling', 'nowhere');
    for (const endless of ['/dev/zero', '/proc/self/pagemap']) {
      if (existsSync(endless)) expect(hash({ file: endless })).toEqual([NEVER]);
    }
    const answers = hash({ file: 'no' }, { file: 'file/no' }, { file: 'dangling' }, { file: '.' });
    expect(answers).toEqual(['missing', 'missing', 'missing', NEVER]);
    expect(hash({ file: '.' })).not.toEqual(hash({ file: '.' }));
  });

  it('throws errors that no file can cause, such as with a Node that is too old', () => {
    workspace.write('a', 'one');
    jest.spyOn(memory, 'hash').mockImplementation(() => {
      throw new TypeError('fs.statSync is not a function');
    });
    expect(() => hash({ file: 'a' })).toThrow(TypeError);
  });

  it('hashes a file only if links lead to it, whenever they appear', () => {
    const request = { linked: 'boot/k' };
    expect(hash(request)).toEqual(['no-link']);
    workspace.write('boot/k', 'one');
    workspace.write('other/k', 'two');
    expect(hash(request)).toEqual(['no-link']);
    rmSync(join(workspace.root, 'boot/k'));
    workspace.link('boot/k', '../other/k');
    expect(hash(request)).toEqual([sha256('two')]);
    rmSync(join(workspace.root, 'boot'), { recursive: true });
    workspace.link('boot', 'other');
    workspace.write('other/k', 'three');
    expect(hash(request)).toEqual([sha256('three')]);
    rmSync(join(workspace.root, 'other/k'));
    expect(hash(request)).toEqual(['missing']);
  });

  it('hashes the current matches of a pattern', () => {
    const request = { glob: 'k-*', base: 'boot' };
    workspace.write('boot/other');
    expect(hash(request)).toEqual(['matches-0']);
    workspace.write('boot/k-1', 'same');
    const first = hash(request);
    expect(first).toEqual([`matches-1 ${sha256('same')}`]);
    workspace.write('boot/k-2', 'new');
    expect(hash(request)).toEqual([`matches-2 ${sha256('same')} ${sha256('new')}`]);
  });

  it('hashes everything in a folder that becomes part of an initramfs, and nothing else', () => {
    workspace.write('tree/bin/run', 'x');
    const before = hash({ tree: 'tree' });
    const changes: Record<string, () => void> = {
      content: () => workspace.write('tree/bin/run', 'y'),
      link: () => workspace.link('tree/bin/sh', 'run'),
      file: () => workspace.write('tree/empty/folder/file', ''),
    };
    const seen = new Set([String(before)]);
    for (const change of Object.values(changes)) {
      change();
      seen.add(String(hash({ tree: 'tree' })));
    }
    expect(seen.size).toBe(4);
    const after = hash({ tree: 'tree' });
    utimesSync(join(workspace.root, 'tree/bin/run'), 1, 1);
    // Whether a file is packed as executable follows from its content.
    chmodSync(join(workspace.root, 'tree/bin/run'), 0o755);
    workspace.write('tree/bin/.gitkeep', 'placeholder');
    expect(hash({ tree: 'tree' })).toEqual(after);
    expect(hash({ tree: 'none' })).toEqual(['missing']);
  });

  it('hashes a file or a whole folder, whichever is at the path', () => {
    const seen = new Set<string>();
    const changes = [
      () => undefined,
      () => workspace.write('image', 'archive'),
      () => workspace.write('image', 'another'),
      () => rmSync(join(workspace.root, 'image')),
      () => workspace.write('image/index.json', '{}'),
      () => workspace.write('image/blobs/a', 'x'),
    ];
    for (const change of changes) {
      change();
      seen.add(String(hash({ fileOrTree: 'image' })));
    }
    // Two of the states are the same: nothing is at the path.
    expect(seen.size).toBe(changes.length - 1);
    expect(hash({ fileOrTree: 'image' })).toEqual(hash({ tree: 'image' }));
    expect(hash({ fileOrTree: 'none' })).toEqual(['missing']);
  });

  it('hashes a link in a folder as a link, wherever it leads', () => {
    workspace.write('outside/file', 'one');
    workspace.write('tree/init', 'one');
    workspace.link('tree/run', join(workspace.root, 'outside'));
    workspace.link('tree/X11', '.');
    const before = hash({ tree: 'tree' });
    workspace.write('outside/file', 'two');
    workspace.write('outside/more', 'two');
    expect(hash({ tree: 'tree' })).toEqual(before);
    const lines = [`"X11" link .`, `"init" file ${sha256('one')}`];
    const run = `"run" link ${encodeURIComponent(join(workspace.root, 'outside'))}`;
    expect(before).toEqual([sha256([...lines, run, ''].join('\n'))]);
    workspace.write('tree/init', 'two');
    expect(hash({ tree: 'tree' })).not.toEqual(before);
  });

  it('hashes the rest of a folder if one part can not be read', () => {
    workspace.write('tree/init', 'one');
    workspace.write('tree/closed/file', 'one');
    const opened = hash({ tree: 'tree' });
    // The tests may run as root, who can read everything.
    const { readdirSync: read } = fs;
    jest.spyOn(fs, 'readdirSync').mockImplementation(((path: string, options: { withFileTypes: true }) => {
      if (path.endsWith('closed')) throw Object.assign(new Error(), { code: 'EACCES' });
      return read(path, options);
    }) as typeof read);
    const before = hash({ tree: 'tree' });
    expect(before).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
    expect(before).not.toEqual(opened);
    // When the initramfs is packed, that part may be readable, so no two hashes are equal.
    expect(hash({ tree: 'tree' })).not.toEqual(before);
  });

  it('is encoded as one word of harmless characters, whatever the names', () => {
    const requests = [{ file: '$(touch x) `id` "\' ; & | > é\n\\ %PATH% !' }, { glob: '*', base: '.' }];
    expect(encodeRequests(requests)).toMatch(/^[\w-]+$/);
    expect(decodeRequests(encodeRequests(requests))).toEqual(requests);
  });

  const program = join(__dirname, '..', '..', 'dist', 'plugin', 'hash-files.js');
  (existsSync(program) ? it : it.skip)('is printed by the built program, in the root of the workspace', () => {
    const name = 'a $(touch pwned) "b" \'c\' ;\n d';
    workspace.write(name, 'content');
    const command = `"${process.execPath}" "${program}" ${encodeRequests([{ file: name }])}`;
    const options = {
      cwd: workspace.root,
      shell: true,
      encoding: 'utf8' as const,
      env: { ...process.env, NX_WORKSPACE_DATA_DIRECTORY: 'data' },
    };
    expect(execFileSync(command, options)).toBe(`${sha256('content')}\n`);
    // On a busy machine, the file may be old enough to be remembered by now.
    expect(readdirSync(workspace.root).filter((entry) => entry !== 'data')).toEqual([name]);
  });
});

describe('the memory of hashes', () => {
  /** Runs an action with a later clock, as if the file had not changed for a while. */
  const settled = <Result>(action: () => Result): Result => {
    const now = Date.now() + 10_000;
    const spy = jest.spyOn(Date, 'now').mockReturnValue(now);
    try {
      return action();
    } finally {
      spy.mockRestore();
    }
  };
  const entry = () => join(workspace.root, 'memory', readdirSync(join(workspace.root, 'memory'))[0]!);

  it('reads an unchanged file once', () => {
    workspace.write('a', 'one');
    settled(() => hash({ file: 'a' }));
    writeFileSync(entry(), readFileSync(entry(), 'utf8').replace(sha256('one'), 'f'.repeat(64)));
    expect(hash({ file: 'a' })).toEqual(['f'.repeat(64)]);
  });

  it('reads a changed file again, even if its size and time are the same', () => {
    workspace.write('a', 'one');
    const { mtime, atime } = statSync(join(workspace.root, 'a'));
    settled(() => hash({ file: 'a' }));
    workspace.write('a', 'two');
    utimesSync(join(workspace.root, 'a'), atime, mtime);
    expect(hash({ file: 'a' })).toEqual([sha256('two')]);
  });

  it('does not trust a file that changed a moment ago', () => {
    workspace.write('a', 'one');
    hash({ file: 'a' });
    expect(existsSync(join(workspace.root, 'memory'))).toBe(false);
  });

  it('ignores an entry that is broken or belongs to another file', () => {
    workspace.write('a', 'one');
    settled(() => hash({ file: 'a' }));
    for (const text of ['{', 'null', '{"path": "b"}', readFileSync(entry(), 'utf8').replace(sha256('one'), '$(x)')]) {
      writeFileSync(entry(), text);
      expect(hash({ file: 'a' })).toEqual([sha256('one')]);
    }
  });

  it('writes only to new files, and never through an existing link', () => {
    workspace.write('a', 'one');
    workspace.write('precious', 'keep');
    settled(() => hash({ file: 'a' }));
    const name = entry();
    for (const link of [name, `${name}.${process.pid}`]) {
      rmSync(link, { force: true });
      symlinkSync(join(workspace.root, 'precious'), link);
    }
    settled(() => hash({ file: 'a' }));
    expect(readFileSync(join(workspace.root, 'precious'), 'utf8')).toBe('keep');
    expect(lstatSync(name).isFile()).toBe(true);
    expect(readdirSync(join(workspace.root, 'memory'))).toHaveLength(2);
  });

  it('hashes a file that is read in several pieces', () => {
    const part = 'x'.repeat(700_000);
    workspace.write('a', part);
    appendFileSync(join(workspace.root, 'a'), part);
    expect(hash({ file: 'a' })).toEqual([sha256(part + part)]);
  });
});

describe('the command for hashing', () => {
  it('runs the script only if there are requests, which it gets as one word', () => {
    const place = { script: 'node_modules/nx-igvm/dist/plugin/hash-files.js' };
    expect(runtimeInput(place, [])).toEqual([]);
    const [input] = runtimeInput(place, [{ file: 'a b' }]);
    const [, program, script, argument] = /^(\S+) (\S+) (\S+) \|\| /.exec(input!.runtime)!;
    expect([program, script, decodeRequests(argument!)]).toEqual(['node', place.script, [{ file: 'a b' }]]);
    expect(requestsOf(input!.runtime)).toEqual([{ file: 'a b' }]);
    expect(requestsOf('node other.js abc')).toEqual([]);
  });

  it('runs a script in a folder of any name, and nothing else', () => {
    const script = `it's "1" $(touch PWNED) ; touch PWNED & %PATH%/print.js`;
    workspace.write(script, 'console.log(require.main === module, process.argv[2]);');
    const requests = [{ file: '$(touch PWNED)' }];
    const [input] = runtimeInput({ script }, requests);
    const output = execSync(input!.runtime, { cwd: workspace.root, encoding: 'utf8' });
    expect(output).toBe(`true ${encodeRequests(requests)}\n`);
    expect(existsSync(join(workspace.root, 'PWNED'))).toBe(false);
  });

  describe('never gives the same answer twice', () => {
    const REQUESTS = [{ file: 'package.json' }];
    const answers = (script: string, shell: string, path: string): string[] => {
      const [input] = runtimeInput({ script }, REQUESTS);
      return [1, 2].map(() =>
        execFileSync(shell, ['-c', input!.runtime], {
          cwd: workspace.root,
          env: { PATH: path },
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        }),
      );
    };
    const SHELLS = ['/bin/sh', '/bin/bash', '/bin/dash', '/bin/ash'].filter((shell) => existsSync(shell));

    it.each(SHELLS)('if there is no node: %s', (shell) => {
      const [one, two] = answers('hash-files.js', shell, '/nonexistent');
      expect(one).toMatch(/^never \d+ /);
      expect(two).not.toBe(one);
    });

    it('if the plugin has moved', () => {
      const [one, two] = answers('moved/hash-files.js', '/bin/sh', process.env['PATH']!);
      expect(one).toMatch(/^never \d+ /);
      expect(two).not.toBe(one);
    });

    it('if node is too old for the script', () => {
      workspace.write('bin/node', '#!/bin/sh\necho "SyntaxError: Unexpected token" >&2\nexit 1\n');
      chmodSync(join(workspace.root, 'bin/node'), 0o755);
      const [one, two] = answers('hash-files.js', '/bin/sh', join(workspace.root, 'bin'));
      expect(one).toMatch(/^never \d+ /);
      expect(two).not.toBe(one);
    });
  });
});

describe('a JSON object without some members', () => {
  it.each<[text: string, rest: string]>([
    ['{"a": 1, "launches": [{"vmm": "x, }"}], "b": "}"}', '{"a": 1,"b": "}"}'],
    ['{"launches": []}', '{}'],
    ['{}', '{}'],
    [' { "a" : 1 } ', '{"a" : 1}'],
    ['{"l\\u0061unches": 1, "a": "\\"launches\\": 2,"}', '{"a": "\\"launches\\": 2,"}'],
    ['{"a": {"launches": 1}}', '{"a": {"launches": 1}}'],
    ['{"a": 18446744073709551615}', '{"a": 18446744073709551615}'],
    ['{"\\\\": 1, "launches": "\\\\"}', '{"\\\\": 1}'],
    ['["launches"]', '["launches"]'],
    ['{"launches": 1', '{"launches": 1'],
    ['', ''],
  ])('%j', (text, rest) => {
    expect(withoutMembers(text, ['launches', 'boot_test'])).toBe(rest);
  });

  it('keeps every other member, and hashes equally whatever these members are', () => {
    const space = fc.constantFrom(undefined, 1, '\t');
    const keys = fc.oneof(fc.constantFrom('launches', 'a', '__proto__', '"', '\\'), fc.string());
    fc.assert(
      fc.property(
        fc.dictionary(keys, fc.jsonValue(), { noNullPrototype: true }),
        fc.jsonValue(),
        space,
        (object, launches, indent) => {
          const { launches: _, ...others } = object;
          const text = withoutMembers(JSON.stringify({ ...object, launches }, undefined, indent), ['launches']);
          expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(others)));
          expect(withoutMembers(JSON.stringify(others, undefined, indent), ['launches'])).toBe(text);
        },
      ),
    );
  });
});
