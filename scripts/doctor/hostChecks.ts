import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fdatasyncSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { sqliteEngine } from '../../src/adapters/sqlite/database/inspect.ts'
import { assertWritable } from '../../src/adapters/sqlite/database/writable.ts'
import { DEV_SECRETS_FILE } from '../../src/settings/devSecrets.ts'
import { readModelFile, sqlitePath } from '../../src/stores/open.ts'
import { misspelt, settingNames } from '../../src/settings/names.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { type Check, fail, ok, warn } from './check.ts'
import type { Io } from '../cli/command.ts'
import { bytes } from '../cli/output.ts'

/** The checks of doctor that need no store. */

export interface SettingUse {
  name: string
  set: boolean
}

/** All settings, and whether each is set. Values are never shown, since some are secrets. */
export const settingsInUse = (env: Io['env']): SettingUse[] =>
  settingNames().map((name) => ({ name, set: (env[name] ?? '') !== '' }))

export function checkSettings(env: Io['env']): Check {
  const settings = settingsInUse(env)
  const set = settings.filter((setting) => setting.set).map(({ name }) => name)
  const detail = set.length === 0 ? 'all defaults' : `set: ${set.join(', ')}`
  const suspects = misspelt(env)
  if (suspects.length === 0) return ok('settings', detail, { settings })
  const remedy = 'Look whether these names are spelt as docs/settings.md has them.'
  return warn('settings', `${detail}; ${suspects.join('; ')}`, remedy, { settings, misspelt: suspects })
}

export function checkKeys(settings: Settings): Check {
  const missing = [
    ...(settings.jwtKeys ? [] : ['JWT_SECRET']),
    ...(settings.peppers ? [] : ['TOKEN_PEPPERS']),
  ]
  if (missing.length === 0) return ok('keys', 'configured')
  const detail = `development keys from ${DEV_SECRETS_FILE} in place of ${missing.join(' and ')}`
  return warn('keys', detail, `Set ${missing.join(' and ')} before tokens matter.`)
}

/**
 * Usage, limits and events depend on the addresses of callers. Doctor cannot find out whether there is a proxy in front
 * of the service, and least of all one on this machine.
 */
export function checkAddresses({ trustProxyHops: hops, trustProxyFrom: from }: Settings): Check {
  const name = 'caller addresses'
  const facts = { trust_proxy_hops: hops, trust_proxy_from: from?.length ?? null }
  if (hops > 0) {
    const peers = from ? 'from the peers in TRUST_PROXY_FROM' : 'from whoever connects'
    return ok(name, `entry ${hops} from the right of X-Forwarded-For, ${peers}`, facts)
  }
  const detail = from
    ? 'those of the connections: TRUST_PROXY_FROM means nothing without TRUST_PROXY_HOPS'
    : 'those of the connections: behind a proxy, also one on this machine, all callers are that one'
  const remedy =
    'Behind proxies set TRUST_PROXY_HOPS to their number and TRUST_PROXY_FROM to their addresses; without one this is right.'
  return warn(name, detail, remedy, facts)
}

/** The oldest version of Node that works, as in package.json. */
const OLDEST_NODE = [20, 19] as const

export function checkNode(version = process.versions.node): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isNew = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])
  if (isNew) return ok('node', version, { version })
  return fail('node', version, `Use Node ${OLDEST_NODE.join('.')} or later.`, { version })
}

export async function checkSqlite({ eventStoreUrl, readModelUrl }: Settings): Promise<Check | null> {
  if ([eventStoreUrl, readModelUrl].every((url) => sqlitePath(url) === null)) return null
  const { driver, version } = await sqliteEngine()
  return ok('sqlite', `${version} by ${driver}`, { version, driver })
}

/** May this user write the files of SQLite, and make others beside them? A service that may not does not start. */
export function checkWriteAccess({ eventStoreUrl, readModelUrl }: Settings): Check | null {
  const name = 'write access'
  const named = [sqlitePath(eventStoreUrl), sqlitePath(readModelUrl), readModelFile(readModelUrl)]
  const paths = [...new Set(named)].filter((path) => path !== null)
  if (paths.length === 0) return null
  const problems = new Set<string>()
  for (const path of paths) {
    try {
      assertWritable(path)
    } catch (error) {
      problems.add((error as Error).message)
    }
  }
  if (problems.size === 0) return ok(name, `this user may write ${paths.join(' and ')}`)
  const remedy =
    'Run doctor as the user that the service runs as. If it did, give that user the folder and the files.'
  return fail(name, [...problems].join('; '), remedy)
}

const SYNCS = 21
const SLOW_SYNC_MS = 20

/** Every command waits for one sync of the event store's disk. Null if the event store is a server. */
export function checkDiskSync(settings: Settings): Check | null {
  const name = 'disk sync'
  const path = sqlitePath(settings.eventStoreUrl)
  if (path === null) return null
  const folder = dirname(path)
  if (!existsSync(folder)) return noFolder(name, folder)
  let median: number
  try {
    median = medianSync(join(folder, `.doctor-${randomBytes(6).toString('hex')}.tmp`))
  } catch (error) {
    const detail = `not measured: ${(error as NodeJS.ErrnoException).code ?? 'failed'} in ${folder}`
    return warn(name, detail, 'Run doctor as the user that the service runs as.')
  }
  const facts = { median_ms: Number(median.toFixed(3)) }
  const detail = `${median.toFixed(2)} ms (median of ${SYNCS}) in ${folder}`
  if (median < SLOW_SYNC_MS) return ok(name, detail, facts)
  return warn(
    name,
    detail,
    'Creating and revoking wait this long: use a local SSD for the event store.',
    facts,
  )
}

/** The median time of a sync in milliseconds. Makes a file for it, and removes that. */
function medianSync(path: string): number {
  const file = openSync(path, 'wx', 0o600)
  try {
    const page = Buffer.alloc(4096, 1)
    const times = Array.from({ length: SYNCS }, () => {
      const started = performance.now()
      writeSync(file, page)
      fdatasyncSync(file)
      return performance.now() - started
    })
    return times.sort((a, b) => a - b)[SYNCS >> 1] ?? 0
  } finally {
    closeSync(file)
    rmSync(path, { force: true })
  }
}

const MIB = 1024 * 1024
/** Less free space than this, in bytes, gives a warning; less than `NO_SPACE` is a failure. */
const LITTLE_SPACE = 1024 * MIB
const NO_SPACE = 100 * MIB

export async function checkSpace(settings: Settings): Promise<Check | null> {
  const path = sqlitePath(settings.eventStoreUrl)
  if (path === null) return null
  const folder = dirname(path)
  if (!existsSync(folder)) return noFolder('disk space', folder)
  const { bavail, bsize } = await statfs(folder)
  return assessSpace(bavail * bsize)
}

export function assessSpace(free: number): Check {
  const [detail, facts] = [`${bytes(free)} free`, { free_bytes: free }]
  if (free >= LITTLE_SPACE) return ok('disk space', detail, facts)
  const result = free < NO_SPACE ? fail : warn
  return result('disk space', detail, 'Free some: without space nothing can be created or revoked.', facts)
}

/** @param file made by the first start without keys. Even if it is not used any more, it is still a secret */
export function checkSecretsFile(file = DEV_SECRETS_FILE): Check {
  const name = 'dev secrets'
  if (!existsSync(file)) return ok(name, 'none', { path: file, mode: null })
  const mode = (statSync(file).mode & 0o777).toString(8).padStart(4, '0')
  const facts = { path: file, mode }
  const isPrivate = process.platform === 'win32' || mode.endsWith('00')
  if (isPrivate) return ok(name, `${file} has mode ${mode}`, facts)
  return fail(name, `${file} has mode ${mode}: others can read it`, `chmod 600 ${file}`, facts)
}

const noFolder = (name: string, folder: string): Check =>
  warn(name, `no folder ${folder} yet`, 'Start the service once.')
