import { fileOf, patternPage, platformOf, runOf } from '../../src/igvm/igvm-file.fixture';
import { PLATFORM_TYPE } from '../../src/igvm/model';
import { compareLocks } from '../../src/lock/compare-locks';
import { lockText, parseLock } from '../../src/lock/lock-file';
import { tagsOfLock } from '../../src/lock/lock-of-image';
import { jsonTarget } from './json-target';

const DIGEST = 'AB'.repeat(48);
const LOCK = {
  lockVersion: 2,
  file: { 'format version': '1' },
  platforms: {
    tdx: {
      debug: true,
      svn: 1,
      attributes: { value: '0x1', debug: true, septVeDisable: false, migratable: false },
      highestVtl: 0,
      sharedGpaBoundary: '0x0',
      algorithm: 'SHA-384',
      digests: [{ digest: DIGEST }],
      documents: { corim: 'ab'.repeat(32), identity: 'ab'.repeat(32) },
      corimInImage: true,
      headers: { 'platform TDX': 'highestVtl 0' },
      registers: { 'VP 0 rip': '0x0' },
      regions: [
        { gpa: '0x0', size: '0x1000', kind: 'data', measured: true, tag: 'linux-kernel', sha256: 'ab'.repeat(32) },
      ],
    },
    snp: {
      debug: false,
      highestVtl: 2,
      sharedGpaBoundary: '0x800000000000',
      algorithm: 'SHA-384',
      digests: [
        { digest: DIGEST, launches: [{ vmm: 'hyperv' }, { vmm: 'qemu-kvm', vcpus: [1], cpu: ['EPYC-Milan'] }] },
      ],
      headers: {},
      registers: {},
      regions: [{ gpa: '0x1000', size: '0x2000', kind: 'empty', marks: ['IS_2MB_PAGE'], measured: true }],
    },
  },
};

const FILE = fileOf([runOf(0, patternPage(1))], { platforms: [platformOf(PLATFORM_TYPE.TDX)] });

export const lock = jsonTarget({
  name: 'lock',
  about: 'measurement locks (igvm.lock.json)',
  values: [LOCK, { lockVersion: 2, file: {}, platforms: {} }],
  run({ bytes }) {
    const read = parseLock(bytes, 'igvm.lock.json');
    tagsOfLock(read, FILE);
    const again = parseLock(new TextEncoder().encode(lockText(read)), 'igvm.lock.json');
    if (compareLocks(read, again).length > 0) throw new Error('a lock changes when it is written and read');
  },
});
