// `IGVMFILEGEN=path npm run compare -- --help`, or with `--ovmf` for IGVM_WRAP and IGVM_UPDATE
require('../../scripts/typescript.cjs');
const args = process.argv.slice(2);
void require(args.includes('--ovmf') ? './compare-ovmf.ts' : './compare.ts').main(args);
