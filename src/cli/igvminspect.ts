#!/usr/bin/env node
import { processEnvironment } from './cli';
import { IGVMINSPECT, run } from './programs';

void run(IGVMINSPECT, process.argv.slice(2), processEnvironment()).then((code) => {
  process.exitCode = code;
});
