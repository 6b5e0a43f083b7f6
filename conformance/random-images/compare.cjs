// `IGVMFILEGEN=path npm run compare -- --help`
require('../../fuzz/engine/typescript.cjs');
void require('./compare.ts').main(process.argv.slice(2));
