import { closeSync, futimesSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { unwritable } from './file-failure';
import { claimTempPath, isLeftover, isTempName, releaseTempPath } from './temp-name';

/** The start of a ticket's name. */
const TICKET = 'nx-igvm-turn';

/** What is in a ticket that has its number: as many digits, so that one that is half written is told from it. */
const NUMBER = /^\d{10}$/;

/**
 * A turn takes milliseconds. A ticket of this age (milliseconds) belongs to a process that is stopped, or to one that ended on
 * another machine, where nobody can look for it.
 */
const ABANDONED_AFTER = 60_000;

/** Milliseconds between two looks at the one before. */
const POLL = 5;

/**
 * Waits until nobody else with a turn renames files in the folder of `path`, so that what belongs together gets its names
 * together. Tickets are drawn as in a bakery (Lamport, "A new solution of Dijkstra's concurrent programming problem",
 * 1974): each is a file that nobody else writes to, and that of a process that was killed holds nobody up.
 * @returns ends the turn
 * @throws IgvmError FILE_UNWRITABLE
 */
export async function takeTurn(path: string): Promise<() => void> {
  const own = claimTempPath(join(dirname(resolve(path)), TICKET));
  let fd: number | undefined;
  const end = (): void => {
    releaseTempPath(own);
    // Without a descriptor a ticket of this name is someone else's.
    if (fd === undefined) return;
    try {
      closeSync(fd);
      rmSync(own, { force: true });
    } catch {
      // The next build in this folder clears it, as it does after one that was killed.
    }
  };
  try {
    // Without a number yet: who sees this waits to see it, for it may be lower than his own.
    fd = openSync(own, 'wx');
    const number = ticketsBeside(own).reduce((last, ticket) => Math.max(last, numberIn(ticket) ?? 0), 0) + 1;
    writeSync(fd, String(number).padStart(10, '0'));
    for (const other of ticketsBeside(own)) {
      while (isBefore(other, own, number)) {
        await setTimeout(POLL);
        futimesSync(fd, new Date(), new Date());
      }
    }
    return end;
  } catch (error) {
    end();
    throw unwritable(path, error);
  }
}

function ticketsBeside(own: string): string[] {
  const folder = dirname(own);
  let names: string[] = [];
  try {
    names = readdirSync(folder);
  } catch {
    // A folder may be writable but not listable; then there is no knowing who else is there.
  }
  return names
    .filter((name) => name.startsWith(`.${TICKET}.`) && isTempName(name) && name !== basename(own))
    .map((name) => join(folder, name));
}

/** None in a ticket whose process is about to draw its number, and in one that is gone. */
function numberIn(path: string): number | undefined {
  try {
    const text = readFileSync(path, 'latin1');
    return NUMBER.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

function isBefore(other: string, own: string, number: number): boolean {
  const stats = statSync(other, { throwIfNoEntry: false });
  if (stats === undefined || isLeftover(other, stats.mtimeMs) || Date.now() - stats.mtimeMs > ABANDONED_AFTER) {
    return false;
  }
  const drawn = numberIn(other);
  if (drawn === undefined) return true;
  return drawn === number ? other < own : drawn < number;
}
