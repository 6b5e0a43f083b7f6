// The data in a built image that every builder has to hash: the pages of its guests, sorted by the form of hashing.
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const { withImage } = require('../dist/api.js');
const { PAGE_DATA_TYPE, PAGE_FLAG, PAGE_SIZE, streamDirectives } = require('../dist/igvm/index.js');

const hasFlag = ({ flags }, flag) => (flags & flag) !== 0;

/** For each platform, the form for pages of a run; `isEmpty` if they have no content. Undefined if they need no hashing. */
const FORM_OF = {
  snp: (run, isEmpty) => {
    if (hasFlag(run, PAGE_FLAG.SHARED)) return 'shared';
    return isEmpty || run.dataType !== PAGE_DATA_TYPE.NORMAL ? 'chain' : 'snp';
  },
  tdx: (run) => {
    if (hasFlag(run, PAGE_FLAG.SHARED)) return 'shared';
    return hasFlag(run, PAGE_FLAG.UNMEASURED) ? undefined : 'tdx';
  },
  vbs: () => 'vbs',
};

/** Pages of one form, in a file whose empty pages are holes. */
class PageFile {
  #size = 0;
  #file;

  constructor(path) {
    this.#file = openSync(path, 'w');
  }

  add(pages, bytes) {
    if (bytes !== undefined) writeSync(this.#file, bytes, 0, bytes.length, this.#size);
    this.#size += pages * PAGE_SIZE;
  }

  end() {
    ftruncateSync(this.#file, this.#size);
    closeSync(this.#file);
  }
}

/**
 * Writes the pages of every guest into files in `folder` and returns arguments for limits.mjs: a form, and a file or a
 * number of pages.
 * @param {string[]} kinds the measurement of each guest, in the order of the image's platforms
 */
export async function hashingJobs(image, kinds, folder) {
  const jobs = [];
  await withImage(image, async ({ file }) => {
    for (const [index, kind] of kinds.entries()) {
      const { compatibilityMask } = file.platforms[index];
      const files = {};
      let links = 0;
      await streamDirectives(file, [
        {
          pages(run, _first, count, bytes) {
            if ((run.compatibilityMask & compatibilityMask) === 0) return;
            const form = FORM_OF[kind](run, bytes === undefined);
            if (form === 'chain') links += count;
            else if (form !== undefined) {
              const path = join(folder, `${index}-${form}`);
              files[form] ??= { path, pages: new PageFile(path) };
              files[form].pages.add(count, bytes);
            }
          },
        },
      ]);
      for (const [form, { path, pages }] of Object.entries(files)) {
        pages.end();
        jobs.push([form, path]);
      }
      if (links > 0) jobs.push(['chain', String(links)]);
    }
  });
  return jobs;
}
