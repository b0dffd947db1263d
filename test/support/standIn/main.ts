import { fstatSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { truncated } from './disk.ts'
import { type Drop, drops } from './faults.ts'
import { type StandIn, startStandIn } from './standIn.ts'
import { DEFAULT_VERSION, isVersionName, versions } from './version.ts'

/**
 * The stand-in as a process: `node main.js --port 2113 --behave 24.10`, and `--db <folder>` for a log that is kept. It
 * prints `ready <address>` when it listens, takes one command a line on standard input and answers each with `ok` or
 * `error`, and ends on SIGTERM, or with whoever holds the other end of its standard input. A log that is to be cut off
 * (`truncate.chk`) is cut off, and then it ends with exit code 0, as the real server does.
 * SIGSTOP makes it a server that accepts and never answers, SIGKILL one that is gone.
 */

const COMMANDS: Record<string, (standIn: StandIn, argument: string) => void | Promise<void>> = {
  'back-up': (standIn) => standIn.backUp(),
  restore: (standIn) => standIn.restore(),
  'undo-restore': (standIn) => standIn.undoRestore(),
  freeze: (standIn) => standIn.freeze(),
  thaw: (standIn) => standIn.thaw(),
  drop: (standIn, how) => standIn.drop(Object.hasOwn(drops, how) ? (how as Drop) : 'slow'),
  'not-ready': (standIn, ms) => standIn.notReady(Number(ms)),
  late: (standIn, ms) => standIn.nextAppend({ kind: 'late', milliseconds: Number(ms) }),
  swallow: (standIn) => standIn.nextAppend({ kind: 'swallow' }),
  deleted: (standIn) => standIn.nextAppend({ kind: 'deleted' }),
  conflict: (standIn, actual) => standIn.nextAppend({ kind: 'conflict', actual: Number(actual) }),
  fail: (standIn, code) => standIn.nextAppend({ kind: 'fail', code: Number(code), details: 'on command' }),
}

const {
  values: { port, behave, db },
} = parseArgs({
  options: {
    port: { type: 'string', default: '2113' },
    behave: { type: 'string', default: DEFAULT_VERSION },
    db: { type: 'string' },
  },
})
if (!isVersionName(behave)) {
  console.error(`--behave is one of ${Object.keys(versions).join(', ')}`)
  process.exit(2)
}
if (db && truncated(db)) process.exit(0)
const standIn = await startStandIn({ port: Number(port), behave, ...(db && { folder: db }) })
console.log(`ready ${standIn.url}`)

const input = createInterface(process.stdin)
input.on('line', (line) => {
  const [name = '', argument = ''] = line.trim().split(/\s+/)
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  void Promise.resolve(command?.(standIn, argument)).then(() =>
    console.log(command ? `ok ${line}` : `error: none of ${Object.keys(COMMANDS).join(', ')}`),
  )
})
const stop = (): void => {
  input.close()
  void standIn.kill()
}
// A terminal's or /dev/null's end is nobody's.
const stdin = fstatSync(0)
if (stdin.isSocket() || stdin.isFIFO()) input.on('close', () => void standIn.kill())
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
