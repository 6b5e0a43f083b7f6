import { corimsOf, corimText } from '../../src/endorsement/corims';
import { dump, dumpJson, dumpText } from '../../src/igvm/dump';
import { describeVpContext } from '../../src/vp-context/decode';
import { imageOf, igvmTarget } from './igvm-target';
import { expectPlainText } from './plain-text';

export const igvmDump = igvmTarget({
  name: 'igvm-dump',
  about: 'dump as text and as JSON, and the list of CoRIMs',
  run(input) {
    const { file, source } = imageOf(input);
    const contents = () => dump(file, source, (context) => describeVpContext(context, file.arch));
    expectPlainText([...dumpText(contents())].join(''));
    const json = [...dumpJson(contents())].join('');
    JSON.parse(json);
    expectPlainText(json);
    expectPlainText(corimText(file, { path: 'image.igvm', size: source.size }, corimsOf(file)));
  },
});
