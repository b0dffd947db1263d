import { statSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { type Api, apiOf, type CreatedToken } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { appendTo, growHistory } from '../support/events/longLife.ts'
import { freePort } from '../support/processes/ports.ts'
import { endServices, killServices, type ServiceProcess, startService } from '../support/processes/service.ts'
import { sweep } from '../support/suite/sweep.ts'

const RANGE = 'from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&granularity=hour'
const TOKENS = '/settings/api-tokens'

/** Everything that answers show about the accounts. */
async function everything(url: string, accounts: readonly string[]): Promise<unknown> {
  const seen: unknown[] = []
  for (const account of accounts) {
    const api = apiOf(url, account)
    const list = await api.list()
    seen.push(list.body)
    for (const { id } of list.body.data) {
      for (const path of [`${TOKENS}/${id}`, `${TOKENS}/${id}/events`, `${TOKENS}/${id}/usage?${RANGE}`]) {
        const { status, body, headers } = await api.call('GET', path)
        expect(status).to.equal(200)
        seen.push([headers.get('etag'), body])
      }
    }
    for (const query of [
      '?status=live',
      '?status=revoked',
      '?q=RENAMED',
      '?sort=-last_accessed',
      '?sort=name',
    ]) {
      seen.push((await api.list(query)).body)
    }
    seen.push((await api.call('GET', `${TOKENS}/usage?${RANGE}`)).body)
  }
  return seen
}

/** Makes tokens in every possible state, used on several routes. @returns the live ones */
async function fill(api: Api): Promise<CreatedToken[]> {
  const made: CreatedToken[] = []
  for (let i = 0; i < 12; i++) {
    const soon = new Date(Date.now() + 1500).toISOString()
    const { body } = await api.create({
      name: `token ${i} ünïcode`,
      scopes: i % 2 ? ['orders:read'] : [],
      expires_at: i === 5 ? soon : null,
    })
    made.push(body)
    for (let use = 0; use <= i; use++) {
      await fetch(`${api.url}/auth/verify/orders/${use % 3}`, { headers: { 'x-api-token': body.token } })
    }
    if (i % 3 === 1) await api.patch(body.id, { name: `renamed ${i}`, scopes: ['a', 'b'] })
    if (i % 4 === 2) await api.revoke(body.id)
  }
  // They are used and changed again, so that buckets and documents get more than one change.
  for (const { token } of made) await api.use(token)
  // Its expiry is an event that the service writes by itself.
  const expired = `${TOKENS}/${made[5]?.id}/events`
  await eventually(async () => {
    const { body } = await api.call<{ data: { type: string }[] }>('GET', expired)
    expect(body.data.map(({ type }) => type)).to.include('TokenExpired')
  })
  return made.filter((_, i) => i % 4 !== 2 && i !== 5)
}

/**
 * Stops a service, and leaves it a token whose revocation is at the end of a long log: some 1500 events, which are
 * three pages of the projector.
 */
async function stopWithMuch(service: ServiceProcess): Promise<CreatedToken> {
  const api = apiOf(service.url)
  const { body } = await api.create({ name: 'revoked in the end' })
  const others = await Promise.all(Array.from({ length: 15 }, (_, i) => api.create({ name: `busy ${i}` })))
  expect(await service.stop()).to.equal(0)
  const store = await openSqliteEventStore(join(service.folder, 'data', 'events.db'))
  for (const { body: busy } of others) await growHistory(store, busy.id, 100)
  await appendTo(store, body.id, 'TokenRevoked', { data: { reason: null } })
  await store.close()
  return body
}

async function removeReadModel({ folder }: ServiceProcess): Promise<void> {
  const files = (await readdir(join(folder, 'data'))).filter((name) => name.startsWith('read-model.db'))
  expect(files).to.not.be.empty
  for (const file of files) await rm(join(folder, 'data', file), { force: true })
}

/** Resolves at the next write to a file. */
async function written(file: string): Promise<void> {
  const stamp = () => statSync(file, { bigint: true, throwIfNoEntry: false })?.mtimeNs
  const before = stamp()
  for (const end = Date.now() + 5_000; stamp() === before && Date.now() < end; ) await sleep(1)
}

describe('a rebuild', () => {
  afterEach(endServices)

  it('from the events alone gives every answer as it was', async () => {
    const accounts = ['acct_1', 'acct_2']
    const first = await startService({ USAGE_FLUSH_MS: '50' })
    for (const account of accounts) await fill(apiOf(first.url, account))
    expect(await first.stop()).to.equal(0)
    const second = await startService({}, first.folder)
    const before = await everything(second.url, accounts)
    expect(await second.stop()).to.equal(0)

    await removeReadModel(second)
    const third = await startService({}, first.folder)
    expect(await everything(third.url, accounts)).to.deep.equal(before)
  })

  it('never makes a good token a bad one, nor a revoked one good, while it catches up', async () => {
    const port = String(await freePort())
    const first = await startService({ USAGE_FLUSH_MS: '10', PORT: port })
    const api = apiOf(first.url)
    const live = await fill(api)
    const revoked = await stopWithMuch(first)
    await removeReadModel(first)

    const seen = new Set<string>()
    let running = true
    const probe = async () => {
      while (running) {
        for (const [kind, { token }] of [
          ['live', live.at(-1)],
          ['revoked', revoked],
        ] as [string, CreatedToken][]) {
          seen.add(
            `${kind} ${await apiOf(first.url)
              .use(token)
              .catch(() => 'refused connection')}`,
          )
        }
        await sleep(1)
      }
    }
    const probing = probe()
    const second = await startService({ PORT: port }, first.folder)
    const status = await eventually(async () => {
      const { status: ready } = await apiOf(second.url).call('GET', '/health/ready')
      expect(ready).to.equal(200)
      return ready
    })
    for (const { token } of live) expect(await apiOf(second.url).use(token)).to.equal(200)
    running = false
    await probing
    expect(status).to.equal(200)
    const allowed = ['live refused connection', 'live 503', 'live 200']
    allowed.push('revoked refused connection', 'revoked 503', 'revoked 401')
    expect([...seen].filter((answer) => !allowed.includes(answer))).to.deep.equal([])
    expect(seen).to.include('live refused connection').and.include('live 200').and.include('revoked 401')
  })

  const kills = sweep('kills', 8, 2)
  it(`that was killed half-way goes on to the same end${kills.note}`, async () => {
    const first = await startService({ USAGE_FLUSH_MS: '20' })
    await fill(apiOf(first.url))
    await stopWithMuch(first)
    const second = await startService({}, first.folder)
    const before = await everything(second.url, ['acct_1'])
    await second.stop()
    await removeReadModel(second)
    const log = join(first.folder, 'data', 'read-model.db-wal')
    for (const ms of kills.of([0, 3, 6, 10, 15, 20, 30, 45])) {
      const nextWrite = written(log)
      const starting = startService({}, first.folder).catch(() => null)
      await Promise.race([nextWrite, starting])
      await sleep(ms)
      await killServices()
      await starting
    }
    const last = await startService({}, first.folder)
    expect(await everything(last.url, ['acct_1'])).to.deep.equal(before)
  })
})
