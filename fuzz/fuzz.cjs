// `npm run fuzz -- --help`
require('./engine/typescript.cjs');
void require('./command.ts').main(process.argv.slice(2));
