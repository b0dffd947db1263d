import { copyFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Api, apiOf } from '../../test/support/callers/api.ts'
import { eventually } from '../../test/support/suite/eventually.ts'
import { type Member, startFleet } from '../../test/support/processes/fleet.ts'
import { writeForeign } from '../../test/support/events/foreign.ts'
import type { VersionName } from '../../test/support/standIn/version.ts'
import { failingService, startService } from '../../test/support/processes/service.ts'
import { attack, type Report } from './lab.ts'

/**
 * Under running services the event store is replaced by an older one, in which a revocation is missing. No process may
 * go on as if nothing had happened, neither the one that fills the read model nor the others.
 */

const BOUND_MS = 5_000

interface Served {
  api: Api
  output(): string
}

/** The time after which each of some processes refused every decision. */
async function refusals(served: readonly Served[], token: string): Promise<number[]> {
  const started = performance.now()
  return Promise.all(
    served.map(async ({ api }) => {
      await eventually(async () => {
        const [used, created, { status: ready }] = [
          await api.use(token),
          (await api.create({ name: 'lost' })).status,
          await api.call('GET', '/health/ready'),
        ]
        if (used !== 503 || created !== 503 || ready !== 503)
          throw new Error(`answers ${used}, ${created}, ${ready}`)
      })
      return performance.now() - started
    }),
  )
}

async function checkBounds(
  report: Report,
  title: string,
  served: readonly Served[],
  took: readonly number[],
): Promise<void> {
  report.saw(`${title}: refused everything after ${took.map((ms) => Math.round(ms)).join(' and ')} ms`)
  report.bound(`${title}: nothing is decided after 5 s, by no process`, Math.max(...took) < BOUND_MS)
  const said = /is not the one that it was/
  await eventually(() => served.every(({ output }) => said.test(output())) || Promise.reject(new Error()))
  const isHelpful = served.every(({ output }) => output().includes('delete the read model'))
  report.bound(`${title}: one line says so, and what to do`, isHelpful)
}

async function onServers(report: Report, version: VersionName, grows: boolean): Promise<void> {
  const title = `EventStoreDB ${version}${grows ? ', grown past the old end' : ''}`
  const fleet = await startFleet(2, { behave: version })
  try {
    const [one, other] = fleet.members as [Member, Member]
    const { body: good } = await one.api.create({ name: 'good' })
    const { body: bad } = await one.api.create({ name: 'revoked since' })
    await sleep(1_500)
    await fleet.eventStore.command('back-up')
    await other.api.revoke(bad.id)
    await sleep(1_500)
    const served = [one, other].map(({ api, service }) => ({ api, output: service.output }))
    const before = await Promise.all(served.map(({ api }) => api.use(good.token)))
    report.control(`${title}: as it was, both accept the good token`, before.join() === '200,200')
    await fleet.eventStore.command('restore')
    if (grows) await writeForeign(fleet.stores.EVENT_STORE_URL)
    await checkBounds(report, title, served, await refusals(served, good.token))
    const late = await fleet.add().then(
      () => 'started',
      (error: unknown) => String(error),
    )
    report.bound(
      `${title}: a new process does not start on it`,
      /read model (is ahead|was filled)/.test(late),
    )
  } finally {
    await fleet.close()
  }
}

async function onFiles(report: Report, how: 'moved' | 'copied'): Promise<void> {
  const title = `SQLite, ${how} into place`
  const service = await startService({ USAGE_FLUSH_MS: '100' })
  const path = join(service.folder, 'data/events.db')
  const api = apiOf(service.url)
  const { body: good } = await api.create({ name: 'good' })
  await service.stop()
  await copyFile(path, `${path}.backup`)

  const again = await startService({ USAGE_FLUSH_MS: '100' }, service.folder)
  const served = { api: apiOf(again.url), output: again.output }
  const { body: bad } = await served.api.create({ name: 'revoked since' })
  await served.api.revoke(bad.id)
  await sleep(1_500)
  report.control(
    `${title}: as it was, the good token is accepted`,
    (await served.api.use(good.token)) === 200,
  )
  if (how === 'moved') await rename(`${path}.backup`, path)
  else await copyFile(`${path}.backup`, path)
  await checkBounds(report, title, [served], await refusals([served], good.token))
  await again.kill()
  for (const ending of ['-wal', '-shm']) await rm(path + ending, { force: true })
  const { code, stderr } = await failingService({}, service.folder)
  report.bound(`${title}: does not start on it`, code === 1 && stderr.includes('ahead of the event store'))
}

await attack('an older event store under running services', async (report) => {
  await onFiles(report, 'moved')
  await onFiles(report, 'copied')
  await onServers(report, '24.10', false)
  await onServers(report, '23.10', true)
})
