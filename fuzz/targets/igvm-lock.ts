import { compareLocks } from '../../src/lock/compare-locks';
import { lockText, parseLock } from '../../src/lock/lock-file';
import { lockOfImage, tagsOfLock } from '../../src/lock/lock-of-image';
import { imageOf, igvmTarget } from './igvm-target';

export const igvmLock = igvmTarget({
  name: 'igvm-lock',
  about: 'measurement locks of images: a written lock reads back the same',
  async run(input) {
    const { file } = imageOf(input);
    const lock = await lockOfImage(file, undefined);
    const read = parseLock(new TextEncoder().encode(lockText(lock)), 'igvm.lock.json');
    if (compareLocks(lock, read).length > 0) throw new Error('a lock changes when it is written and read');
    await lockOfImage(file, tagsOfLock(read, file));
  },
});
