import { fileOf, patternPage, platformOf, runOf } from '../../src/igvm/igvm-file.fixture';
import { PLATFORM_TYPE } from '../../src/igvm/model';
import { compareLocks } from '../../src/lock/compare-locks';
import { lockText, parseLock } from '../../src/lock/lock-file';
import { tagsOfLock } from '../../src/lock/lock-of-image';
import { jsonTarget } from './json-target';

const DIGEST = 'AB'.repeat(48);
const LOCK = {
  lockVersion: 1,
  platforms: {
    tdx: {
      algorithm: 'SHA-384',
      digests: { any: DIGEST },
      headers: { 'platform TDX': 'highestVtl 0' },
      registers: { 'VP 0 rip': '0x0' },
      regions: [{ gpa: '0x0', size: '0x1000', kind: 'data', tag: 'linux-kernel', sha256: 'ab'.repeat(32) }],
    },
    snp: {
      algorithm: 'SHA-384',
      digests: { hyperv: DIGEST },
      headers: {},
      registers: {},
      regions: [{ gpa: '0x1000', size: '0x2000', kind: 'empty' }],
    },
  },
};

const FILE = fileOf([runOf(0, patternPage(1))], { platforms: [platformOf(PLATFORM_TYPE.TDX)] });

export const lock = jsonTarget({
  name: 'lock',
  about: 'measurement locks (igvm.lock.json)',
  values: [LOCK, { lockVersion: 1, platforms: {} }],
  run({ bytes }) {
    const read = parseLock(bytes, 'igvm.lock.json');
    tagsOfLock(read, FILE);
    const again = parseLock(new TextEncoder().encode(lockText(read)), 'igvm.lock.json');
    if (compareLocks(read, again).length > 0) throw new Error('a lock changes when it is written and read');
  },
});
