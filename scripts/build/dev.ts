import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/**
 * `npm run dev`: runs the service, compiles when a source is saved, and starts it anew when that went well. The one that
 * runs stops in order first, since a SQLite file has one writer.
 *
 * By hand, since `tsc --watch` of TypeScript 7.0 noticed no change where this was tried, a virtual machine with Linux.
 */

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const SOURCES = ['src', 'projections']
/** In milliseconds: an editor that saves all writes several files. */
const SETTLE_MS = 100

let service = startService()
const stopping = new AbortController()
let isChanged = false
let wake = (): void => {}

/**
 * In a process group of its own: Ctrl-C goes to everything in the terminal's, and together with what is passed on here
 * the service would get two signals, at the second of which it ends at once.
 */
function startService(): ChildProcess {
  return spawn(process.execPath, ['dist/src/main.js'], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  }).once('exit', (code) => {
    if (code !== 0)
      console.error(`\nThe service has ended (${code}). It is started anew after the next change.\n`)
  })
}

async function stopService(): Promise<void> {
  const { exitCode, signalCode } = service
  if (exitCode !== null || signalCode !== null) return
  const ended = once(service, 'exit')
  service.kill('SIGTERM')
  await ended
}

/** @returns whether there is no error; what there is, is printed */
async function compile(): Promise<boolean> {
  const compiler = spawn(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.'], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = await once(compiler, 'exit')
  return code === 0
}

for (const folder of SOURCES) {
  watch(join(ROOT, folder), { recursive: true }, (_, file) => {
    if (!file?.endsWith('.ts')) return
    isChanged = true
    wake()
  })
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    stopping.abort()
    wake()
  })
}

while (!stopping.signal.aborted) {
  if (!isChanged) await new Promise<void>((resolve) => (wake = resolve))
  await sleep(SETTLE_MS)
  if (stopping.signal.aborted || !isChanged) continue
  isChanged = false
  if (!(await compile()) || stopping.signal.aborted) continue
  await stopService()
  service = startService()
}
await stopService()
process.exit(0)
