#!/usr/bin/env node
import { processEnvironment } from './cli';
import { IGVMINSPECT } from './igvminspect-program';
import { run } from './run';

void run(IGVMINSPECT, process.argv.slice(2), processEnvironment()).then((code) => {
  process.exitCode = code;
});
