import { spawnSync } from 'node:child_process'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Answer, type Api, apiOf, type CreatedToken } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { describeWith, PATH } from '../support/suite/needs.ts'
import { endServices, type ServiceProcess, startService } from '../support/processes/service.ts'

/** Limits the size of the running service's files. Beyond it every write fails, as on a full disk. */
function limitFiles({ child }: ServiceProcess, bytes: number | 'unlimited'): void {
  const { status, stderr } = spawnSync(
    'prlimit',
    ['--pid', String(child.pid), `--fsize=${bytes}:unlimited`],
    { env: { PATH } },
  )
  expect(status, stderr.toString()).to.equal(0)
}

async function largestFile({ folder }: ServiceProcess): Promise<number> {
  const files = await readdir(join(folder, 'data'))
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(folder, 'data', file))).size))
  return Math.max(...sizes)
}

/** The answer is a 503 that says what to do, and nothing about the cause. */
function assertOutage({ status, headers, body }: Answer<unknown>): void {
  expect(status).to.equal(503)
  expect(headers.get('content-type')).to.include('application/problem+json')
  expect(headers.get('retry-after')).to.match(/^\d+$/)
  expect(body).to.include({ code: 'store_unavailable', status: 503 })
  expect(JSON.stringify(body)).to.not.match(/disk|full|file|sqlite|\.db|I\/O|space|large/i)
}

/**
 * Creates tokens until nothing more can be written. @returns the key of every creation, with its token if the answer
 * was 201
 */
async function fillUp(api: Api): Promise<Map<string, CreatedToken | null>> {
  const made = new Map<string, CreatedToken | null>()
  let refused = 0
  const work = async (worker: number) => {
    for (let n = 0; refused < 20; n++) {
      const key = `${worker}-${n}`
      made.set(key, null)
      const answer = await api.create({ name: key, scopes: ['orders:read'] }, { 'idempotency-key': key })
      if (answer.status === 201) made.set(key, answer.body)
      else {
        assertOutage(answer)
        refused++
      }
    }
  }
  await Promise.all(Array.from({ length: 6 }, (_, worker) => work(worker)))
  return made
}

const required = process.env.CI === 'true' && process.platform === 'linux'

describeWith('prlimit', { argument: '--version', required }, 'a full disk', () => {
  afterEach(endServices)

  for (const room of [0, 150_000, 400_000]) {
    it(`stops writes and nothing else, and is over when it is over (${room} bytes left)`, async () => {
      const env = { USAGE_FLUSH_MS: '30', MAX_TOKENS_PER_ACCOUNT: '100000' }
      const service = await startService(env)
      const api = apiOf(service.url)
      const used = (await api.create({ name: 'in the index' })).body
      const unused = (await api.create({ name: 'not in the index' })).body
      const changed = (await api.create({ name: 'changed' })).body
      const revoked = (await api.create({ name: 'revoked' })).body
      await api.revoke(revoked.id)
      expect(await api.use(used.token)).to.equal(200)
      await sleep(100)

      limitFiles(service, room === 0 ? 1 : (await largestFile(service)) + room)
      const made = await fillUp(api)
      // Small writes may still find room where larger ones did not. From here on they find none.
      limitFiles(service, 1)

      let uses = 1
      for (let n = 0; n < 40; n++) {
        expect(await api.use(used.token)).to.equal(200)
        uses++
        if (n % 10 === 0) {
          assertOutage(await api.patch(changed.id, { name: `changed ${n}` }))
          assertOutage(await api.revoke(changed.id))
        }
        await sleep(5)
      }
      expect(await api.use(unused.token)).to.equal(200)
      expect(await api.use(revoked.token)).to.equal(401)
      for (const token of made.values()) if (token) expect(await api.use(token.token)).to.equal(200)
      expect((await api.read(used.id)).status).to.equal(200)
      expect((await api.list('')).status).to.equal(200)
      expect((await api.call('GET', '/health/live')).status).to.equal(200)

      limitFiles(service, 'unlimited')
      const again = await eventually(async () => {
        const answer = await api.create({ name: 'after' })
        expect(answer.status).to.equal(201)
        return answer.body
      })
      expect(await api.use(again.token)).to.equal(200)
      await eventually(async () => {
        expect((await api.usage(used.id)).body.total.requests).to.equal(uses)
        expect((await api.usage(unused.id)).body.total.requests).to.equal(1)
      })
      for (const token of made.values()) {
        if (token) expect((await api.usage(token.id)).body.total.requests).to.equal(1)
      }
      // Each key has made at most one token. Callers that got theirs get it again, and the others get one now.
      for (const [key, token] of made) {
        const { status, body } = await api.create(
          { name: key, scopes: ['orders:read'] },
          { 'idempotency-key': key },
        )
        expect(status).to.be.oneOf(token ? [200] : [200, 201])
        if (token) expect(body.id).to.equal(token.id)
        expect(body.status).to.equal('active')
      }
      const after = (await api.read(changed.id)).body
      const { status } = await api.patch(changed.id, { name: 'at last' })
      expect(status).to.equal(after.status === 'revoked' ? 409 : 200)
      expect((await api.revoke(changed.id)).status).to.equal(204)

      const names = await allNames(api)
      expect(names.filter((name) => made.has(name))).to.have.lengthOf(made.size)
      expect(await service.stop()).to.equal(0)

      for (const file of await readdir(join(service.folder, 'data'))) {
        if (file.startsWith('read-model')) await rm(join(service.folder, 'data', file))
      }
      const rebuilt = apiOf((await startService(env, service.folder)).url)
      expect(await allNames(rebuilt)).to.deep.equal(names)
      expect((await rebuilt.usage(used.id)).body.total.requests).to.equal(uses)
    })
  }
})

async function allNames(api: Api): Promise<string[]> {
  const names: string[] = []
  for (let cursor = ''; ; ) {
    const { body } = await api.list(`?status=all&limit=100&sort=name${cursor}`)
    names.push(...body.data.map(({ name }) => name))
    if (body.next_cursor === null) return names
    cursor = `&cursor=${body.next_cursor}`
  }
}
