import { sha256OfSource } from '../../src/files/sha256';
import { imageDigests } from '../../src/measurement/image-digests';
import { inspectPage } from '../../src/inspect/page';
import { imageOf, igvmTarget } from './igvm-target';

const count = (text: string, part: string): number => text.split(part).length - 1;

export const igvmInspect = igvmTarget({
  name: 'igvm-inspect',
  about: 'the page about an image',
  async run(input) {
    const { file, source } = imageOf(input);
    const digests = await imageDigests(file);
    const page = inspectPage({ file, source, name: 'image.igvm', digests, sha256: sha256OfSource(source) });
    for (const tag of ['<script', '<style', '<html']) {
      if (count(page, tag) !== 1) throw new Error(`the page has ${count(page, tag)} of ${tag}`);
    }
  },
});
