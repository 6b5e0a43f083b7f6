#!/usr/bin/env node
import { processEnvironment } from './cli';
import { NX_IGVM, run } from './programs';

void run(NX_IGVM, process.argv.slice(2), processEnvironment()).then((code) => {
  process.exitCode = code;
});
