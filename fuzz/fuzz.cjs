// `npm run fuzz -- --help`
require('../scripts/typescript.cjs');
void require('./command.ts').main(process.argv.slice(2));
