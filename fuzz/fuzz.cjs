// `npm run fuzz -- --help`
require('./engine/typescript.cjs');
require('./command.ts').main(process.argv.slice(2));
