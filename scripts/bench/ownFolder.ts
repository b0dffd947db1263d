import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** An empty folder, which goes when the benchmark ends. */
export function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
