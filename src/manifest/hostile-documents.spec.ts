import { IgvmError } from '../errors/igvm-error';
import { JSON_SIZE_LIMIT } from '../files/regular-file';
import { parseManifest } from './load-manifest';

/** Documents of the maximum size, made of whatever takes a parser or a validator the longest. */
const size = JSON_SIZE_LIMIT - 1000;
const fill = (piece: (i: number) => string, open = '[', close = ']') => {
  const s = open;
  const a: string[] = [];
  let l = 0;
  for (let i = 0; l < size; i++) {
    const p = piece(i);
    a.push(p);
    l += p.length + 1;
  }
  return s + a.join(',') + close;
};
const valid = '"guest_arch":"x64","guest_configs":[{"guest_svn":1,"max_vtl":0,"isolation_type":"none","image":"none"}]';
const docs: Record<string, string> = {
  arrays: fill(() => '[]'),
  objects: fill(() => '{}'),
  numbers: fill(() => '1'),
  strings: fill(() => '""'),
  unknown: fill((i) => `"k${i}":1`, `{${valid},`, '}'),
  unknownLong: fill((i) => `"${'memory_size'.repeat(6)}${i}":1`, `{${valid},`, '}'),
  dup: fill(() => '"k":1', `{${valid},`, '}'),
  dupKnown: fill(() => '"name":"1"', `{${valid},`, '}'),
  dupDistinct: fill((i) => `"k${i % 3000}":1`, `{${valid},`, '}'),
  dupDeep: '{' + valid + ',' + '"a":{'.repeat(500) + fill(() => '"k":1', '"x":1,', '') + '}'.repeat(501),
  dupInKnown: `{${valid},"resources":` + fill((i) => `"k${i}":1`, '{', '}') + '}',
  guests: fill(() => '{}', '{"guest_arch":"x64","guest_configs":[', ']}'),
  guestsX: fill((i) => `{"x${i}":1}`, '{"guest_arch":"x64","guest_configs":[', ']}'),
  guests1: fill(() => '1', '{"guest_arch":"x64","guest_configs":[', ']}'),
  guestsOk: fill(
    () => '{"guest_svn":1,"max_vtl":0,"isolation_type":"none","image":"none"}',
    '{"guest_arch":"x64","guest_configs":[',
    ']}',
  ),
  guestsOkDup: fill(
    () => '{"guest_svn":1,"max_vtl":0,"isolation_type":"none","image":"none","":1,"":1}',
    '{"guest_arch":"x64","guest_configs":[',
    ']}',
  ),
  images: fill(
    (i) => `"i${i}":{}`,
    '{"guest_arch":"x64","guest_configs":[{"guest_svn":1,"max_vtl":0,"isolation_type":"none","image":{',
    '}}]}',
  ),
  slashes: `{${valid},"name":"${'/'.repeat(size)}"}`,
  cmd: `{"guest_arch":"${'x'.repeat(size)}"}`,
  nest: '['.repeat(size),
  nestObj: '{"a":'.repeat(size / 5),
  open: '"' + 'a'.repeat(size),
  backslashes: '"' + '\\'.repeat(size),
  lines: '\n'.repeat(size),
  spaces: ' '.repeat(size),
  minus: '-'.repeat(size),
  digits: '1'.repeat(size),
  bigint: `{"guest_arch":${'9'.repeat(size)}}`,
  comment: '/*'.repeat(size / 2),
  words: fill(() => 'x'),
  commas: ','.repeat(size),
  colons: '{' + ':'.repeat(size),
  badEnd: fill((i) => `"k${i}":1`, `{${valid},`, ''),
  badUtf: '\u0000'.repeat(size),
  keys512: '{"":'.repeat(512) + fill(() => '""', '[', ']') + '}'.repeat(512),
};

describe('a hostile document', () => {
  it.each(Object.keys(docs))('of many %s is checked quickly, and its errors fit on one screen', (name) => {
    const text = docs[name]!;
    expect(text.length).toBeLessThan(JSON_SIZE_LIMIT + 5000);
    // Processor time, so that other load doesn't matter.
    const start = process.cpuUsage();
    let report: string;
    try {
      report = parseManifest(text, 'igvm.json')
        .warnings.map(({ message }) => message)
        .join('\n');
    } catch (error) {
      if (!(error instanceof IgvmError)) throw error;
      report = error.format();
    }
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1e6).toBeLessThan(2);
    expect(report.split('\n').length).toBeLessThanOrEqual(55);
    expect(report.length).toBeLessThan(12_000);
  });
});
