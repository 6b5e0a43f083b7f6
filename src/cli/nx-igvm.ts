#!/usr/bin/env node
import { processEnvironment } from './cli';
import { NX_IGVM } from './programs';
import { run } from './run';

void run(NX_IGVM, process.argv.slice(2), processEnvironment()).then((code) => {
  process.exitCode = code;
});
