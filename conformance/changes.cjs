// `IGVMFILEGEN=path npm run reference-changes -- --help`
require('../scripts/typescript.cjs');
require('./reference-changes.ts').main(process.argv.slice(2));
