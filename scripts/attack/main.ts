import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * `npm run attack -- [name ...]` runs the attacks in `scripts/attack`, all of them or those that are named, each in a
 * process of its own. It prints what each saw. It ends with 1 if the product gave way, and with 2 for an unknown name.
 */

const FOLDER = fileURLToPath(new URL('./', import.meta.url))
const LONGEST_MS = 120_000

const all = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.js') && !['lab.js', 'main.js'].includes(file))
  .map((file) => basename(file, '.js'))
  .sort()
const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !all.includes(name))

if (unknown.length > 0) {
  console.error(`there is no attack '${unknown.join("', '")}'; there are: ${all.join(', ')}`)
  process.exit(2)
}
const failed = (asked.length > 0 ? asked : all).filter((name) => {
  console.log(`\n=== ${name}`)
  const { status } = spawnSync(process.execPath, [join(FOLDER, `${name}.js`)], {
    stdio: 'inherit',
    timeout: LONGEST_MS,
    killSignal: 'SIGKILL',
  })
  return status !== 0
})
console.log(
  failed.length === 0 ? '\nall attacks failed: every bound held' : `\ngave way: ${failed.join(', ')}`,
)
process.exit(failed.length === 0 ? 0 : 1)
