import { readFileSync } from 'node:fs';
import { sep } from 'node:path';
import { parseSync, transformSync } from '@swc/core';
import { createInstrumenter } from 'istanbul-lib-instrument';

/** The property of the global object in which instrumented code finds its counters. See {@link CoverageMap}. */
export const COVERAGE_VARIABLE = '__fuzzCoverage__';

/** The constants of a piece of code. Values in comparisons are useful in inputs. */
export interface Literals {
  numbers: readonly bigint[];
  strings: readonly string[];
}

/** Instrumented code, and its constants. */
export interface InstrumentedCode {
  code: string;
  literals: Literals;
}

/** Instruments JavaScript (CommonJS) to count its statements, functions and branches. `path` names the counters. */
export function instrument(code: string, path: string): InstrumentedCode {
  const instrumenter = createInstrumenter({
    esModules: false,
    compact: true,
    preserveComments: false,
    coverageVariable: COVERAGE_VARIABLE,
  });
  return { code: instrumenter.instrumentSync(code, path), literals: literalsOf(code) };
}

/** Longer strings are messages. */
const LONGEST_STRING = 32;

/** Smaller numbers are found without help. */
const LEAST_NUMBER = 0x20n;

function literalsOf(code: string): Literals {
  const numbers = new Set<bigint>();
  const strings = new Set<string>();
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    if (Array.isArray(node)) return node.forEach(walk);
    const { type, value, raw } = node as { type?: string; value?: unknown; raw?: string };
    if (type === 'NumericLiteral' && Number.isSafeInteger(value)) numbers.add(BigInt(value as number));
    if (type === 'BigIntLiteral' && raw !== undefined) numbers.add(BigInt(raw.replaceAll(/[_n]/g, '')));
    if (type === 'StringLiteral' && typeof value === 'string' && value.length <= LONGEST_STRING) strings.add(value);
    Object.values(node).forEach(walk);
  };
  walk(parseSync(code, { syntax: 'ecmascript', target: 'es2022' }));
  return {
    numbers: [...numbers].filter((value) => value >= LEAST_NUMBER),
    strings: [...strings].filter((value) => value !== '' && !value.startsWith('.') && !value.startsWith('node:')),
  };
}

/** Packages that parse hostile bytes for us. */
const PARSERS = [
  '@levischuck/tiny-cbor',
  'jsonc-parser',
  '@peculiar/asn1-schema',
  '@peculiar/asn1-x509',
  'asn1js',
  'tar-stream',
  'yauzl',
].map((name) => ['node_modules', ...name.split('/'), ''].join(sep));

const isProduct = (path: string): boolean => path.includes(`${sep}src${sep}`) && !/\.(fixture|spec)\.ts$/.test(path);

/**
 * Instruments code of src/, and of the packages that parse for it, when it is required from now on.
 * @param found receives the constants of each file
 */
export function instrumentRequired(found: (path: string, literals: Literals) => void): void {
  const compile = (module: NodeModule, path: string, code: string): void => {
    const instrumented = instrument(code, path);
    found(path, instrumented.literals);
    (module as unknown as { _compile(code: string, path: string): void })._compile(instrumented.code, path);
  };
  const { '.ts': plainTypeScript, '.js': plainJavaScript } = require.extensions;
  require.extensions['.ts'] = (module, path) => {
    if (!isProduct(path) || path.includes('node_modules')) return plainTypeScript?.(module, path);
    const { code } = transformSync(readFileSync(path, 'utf8'), {
      filename: path,
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'commonjs' },
    });
    compile(module, path, code);
  };
  require.extensions['.js'] = (module, path) => {
    if (!PARSERS.some((name) => path.includes(name))) return plainJavaScript?.(module, path);
    compile(module, path, readFileSync(path, 'utf8'));
  };
}
