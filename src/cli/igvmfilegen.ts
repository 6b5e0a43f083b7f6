#!/usr/bin/env node
import { processEnvironment } from './cli';
import { IGVMFILEGEN } from './programs';
import { run } from './run';

void run(IGVMFILEGEN, process.argv.slice(2), processEnvironment()).then((code) => {
  process.exitCode = code;
});
