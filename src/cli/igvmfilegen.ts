#!/usr/bin/env node
import { processEnvironment } from './cli';
import { IGVMFILEGEN, run } from './programs';

void run(IGVMFILEGEN, process.argv.slice(2), processEnvironment()).then((code) => {
  process.exitCode = code;
});
