#!/usr/bin/env node
import { processEnvironment } from './cli';
import { IGVMINSPECT } from './programs';
import { run } from './run';

void run(IGVMINSPECT, process.argv.slice(2), processEnvironment()).then((code) => {
  process.exitCode = code;
});
