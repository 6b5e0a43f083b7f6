import { describePage } from '../../src/inspect/described-page';
import { inspectPage } from '../../src/inspect/page';
import { imageOf, igvmTarget } from './igvm-target';

const count = (text: string, part: string): number => text.split(part).length - 1;

export const igvmInspect = igvmTarget({
  name: 'igvm-inspect',
  about: 'the page about an image',
  async run(input) {
    const { file, source } = imageOf(input);
    const described = await describePage({ file, source }, {});
    const page = inspectPage({ file, source, name: 'image.igvm', described });
    for (const tag of ['<script', '<style', '<html']) {
      if (count(page, tag) !== 1) throw new Error(`the page has ${count(page, tag)} of ${tag}`);
    }
  },
});
