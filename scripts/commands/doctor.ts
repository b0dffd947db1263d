import type { Settings } from '../../src/settings/settings.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { DamagedError } from '../../src/domain/errors.ts'
import { StoreMisconfiguredError } from '../../src/application/ports/errors.ts'
import { NoDataError } from '../cli/stores.ts'
import { type Check, fail } from '../doctor/check.ts'
import { defineCommand, type Io, JSON_OPTION } from '../cli/command.ts'
import * as host from '../doctor/hostChecks.ts'
import { checkProjections } from '../doctor/projectionChecks.ts'
import { json, printable, progress } from '../cli/output.ts'
import * as outside from '../doctor/outsideChecks.ts'
import * as stores from '../doctor/storeChecks.ts'
import { checkOldestUsage } from '../doctor/usageChecks.ts'

/** Null: the thing to examine does not exist, and another check reports that. */
type Examine = (settings: Settings, io: Io) => Check | null | Promise<Check | Check[] | null>

const examinations: Record<string, Examine> = {
  settings: (_, { env }) => host.checkSettings(env),
  // This comes before anything that reads the file.
  'dev secrets': () => host.checkSecretsFile(),
  keys: host.checkKeys,
  'caller addresses': host.checkAddresses,
  node: () => host.checkNode(),
  sqlite: host.checkSqlite,
  'write access': host.checkWriteAccess,
  'event store': stores.checkEventStore,
  'event store integrity': stores.checkEventStoreFile,
  'read model': stores.checkReadModel,
  'read model integrity': stores.checkReadModelFile,
  projections: checkProjections,
  'refused events': stores.checkRefusedEvents,
  peppers: stores.checkPeppers,
  'oldest usage event': checkOldestUsage,
  'keys of the issuer': outside.checkIssuer,
  'keys of leak reports': outside.checkLeakKeys,
  webhooks: outside.checkWebhooks,
  'disk sync': host.checkDiskSync,
  'disk space': host.checkSpace,
}

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'Look over settings, stores, versions, lag and disk, and say what to do.',
  usage: '[--json]',
  help: 'Changes nothing, and may run beside the service. Settings are named, their values never shown.\nExit code 1 if anything fails; a warning alone is 0.',
  args: [],
  options: { json: JSON_OPTION },
  async run({ values }, io) {
    const settings = storedSettings(io)
    const checks = await examineAll(settings, io)
    const sound = checks.every(({ status }) => status !== 'fail')
    io.out(values.json ? json({ ok: sound, checks }) : report(checks))
    return sound ? 0 : 1
  },
})

async function examineAll(settings: Settings, io: Io): Promise<Check[]> {
  const entries = Object.entries(examinations)
  const bar = progress(io, entries.length)
  const checks: Check[] = []
  for (const [name, examine] of entries) {
    bar.step(name)
    checks.push(...(await resultsOf(name, examine, settings, io)))
  }
  bar.done()
  return checks
}

/** If an examination could not look, that is its result, and the others still run. */
async function resultsOf(name: string, examine: Examine, settings: Settings, io: Io): Promise<Check[]> {
  try {
    return [(await examine(settings, io)) ?? []].flat()
  } catch (error) {
    return [fail(name, (error as Error).message, remedyFor(error))]
  }
}

function remedyFor(error: unknown): string {
  if (error instanceof NoDataError) return 'A first start of the service makes it.'
  if (error instanceof StoreMisconfiguredError)
    return 'Mend what is said there, in the setting or on the server.'
  if (error instanceof DamagedError)
    return 'Stop the service; restore the event store from a backup, or delete the read model to refill it.'
  return 'Check that the server can be reached from here, or that the file and its folder can be read by this user.'
}

const MARKS = { ok: 'ok  ', warn: 'WARN', fail: 'FAIL' } as const

function report(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length))
  const lines = checks.map(({ status, name, detail, remedy }) => {
    const line = `${MARKS[status]}  ${name.padEnd(width)}  ${printable(detail)}\n`
    return remedy === null ? line : `${line}${' '.repeat(width + 8)}-> ${printable(remedy)}\n`
  })
  const count = (wanted: Check['status']) => checks.filter(({ status }) => status === wanted).length
  return `${lines.join('')}\n${count('ok')} ok, ${count('warn')} to know of, ${count('fail')} failed\n`
}
