import { imageOf, igvmTarget } from './igvm-target';
import { writeAndRead } from './written-image';

export const igvmRewrite = igvmTarget({
  name: 'igvm-rewrite',
  about: 'the writer: valid input can be written, and read again',
  async run(input) {
    const once = await writeAndRead(imageOf(input).file);
    if (once !== undefined) await writeAndRead(once);
  },
});
