import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/**
 * `npm run dev`: runs the service, compiles when a source file is saved, and restarts the service if that succeeded.
 * The running service stops in order first, since a SQLite file has one writer.
 *
 * It watches files by itself, since `tsc --watch` of TypeScript 7.0 noticed no change on the virtual machine with Linux
 * on which it was tried.
 */

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const SOURCES = ['src', 'projections']
/** In milliseconds. An editor that saves everything writes several files. */
const SETTLE_MS = 100

let service = startService()
const stopping = new AbortController()
let isChanged = false
let wake = (): void => {}

/**
 * The service gets a process group of its own: Ctrl-C signals the whole group of the terminal, and this program passes
 * the signal on. With two signals, the service would end at once.
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

/** @returns whether there is no error. Errors are printed */
async function compile(): Promise<boolean> {
  const tsc = 'node_modules/typescript/bin/tsc'
  const isCompiled = (await runs(tsc, '-p', '.')) && (await runs(tsc, '-p', 'src/page'))
  return isCompiled && runs('dist/scripts/build/page.js')
}

/** @returns whether the script has succeeded. What it writes is shown */
async function runs(...script: string[]): Promise<boolean> {
  const running = spawn(process.execPath, script, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] })
  const [code] = await once(running, 'exit')
  return code === 0
}

for (const folder of SOURCES) {
  watch(join(ROOT, folder), { recursive: true }, (_, file) => {
    if (!file || !/\.(ts|css)$/.test(file)) return
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
