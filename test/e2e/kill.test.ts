import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Api, apiOf } from '../support/callers/api.ts'
import { endServices, ownFolder, type ServiceProcess, startService } from '../support/processes/service.ts'
import { sweep } from '../support/suite/sweep.ts'

const FLUSH_MS = 100
/** In milliseconds. A flush takes some time itself, and a timer of a busy process fires late. */
const STORED_AFTER_MS = FLUSH_MS + 400
const WORKERS = 6
/** At least this many tokens are made in each round, however slow the machine is. */
const LEAST_MADE = 6

/**
 * What the service has answered about one token, and which requests had no answer, so that they may or may not have
 * succeeded.
 */
interface Known {
  id: string
  token: string
  /** The only worker that updates and revokes it, one command after the other. All workers use it. */
  worker: number
  name: string
  /** The name that an unanswered update may have set. */
  perhaps: string | null
  revoked: 'no' | 'asked' | 'yes'
  /** The times of the accepted answers, and the number of requests that had no answer or met a revocation. */
  accepted: number[]
  unanswered: number
}

/** A linear congruential generator, which makes the same choices in every run. */
function chooser(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

describe('a kill -9', () => {
  afterEach(endServices)

  for (const mode of ['buffered', 'strict'] as const) {
    const kills = mode === 'strict' ? sweep('kills', 4, 2) : sweep('kills', 8, 2)
    const title = `takes back nothing that was acknowledged, and of uses ${mode === 'strict' ? 'none' : 'one flush window'}`
    it(title + kills.note, async () => {
      const choose = chooser(mode === 'strict' ? 7 : 3)
      const rounds = kills.amount
      const env = { AUDIT_MODE: mode, USAGE_FLUSH_MS: String(FLUSH_MS), MAX_TOKENS_PER_ACCOUNT: '100000' }
      const folder = await ownFolder()
      const known: Known[] = []
      /** At most this many uses may be lost, since a kill came too soon after their answers. */
      let lostAtMost = 0
      for (let round = 0; round < rounds; round++) {
        const service = await startService(env, folder)
        await check(apiOf(service.url), known)
        const killedAt = await loadUntilKilled(service, known, choose, 600 + choose(900))
        if (mode === 'buffered') lostAtMost += recent(known, killedAt - STORED_AFTER_MS)
      }
      const service = await startService(env, folder)
      const api = apiOf(service.url)
      await check(api, known)
      expect(known.length).to.be.at.least(rounds * LEAST_MADE)
      await checkUses(api, known, lostAtMost)
      expect(await service.stop()).to.equal(0)
    })
  }
})

const recent = (known: readonly Known[], since: number): number =>
  known.reduce((sum, { accepted }) => sum + accepted.filter((at) => at >= since).length, 0)

/** Creates, updates, revokes and uses, many at a time, until the process is gone. @returns when it was killed */
async function loadUntilKilled(
  service: ServiceProcess,
  known: Known[],
  choose: (below: number) => number,
  ms: number,
): Promise<number> {
  const api = apiOf(service.url)
  const alive = () => known.filter(({ revoked }) => revoked === 'no')
  let running = true

  async function create(worker: number): Promise<void> {
    const name = `made ${choose(1_000_000)}`
    const { status, body } = await api.create({ name })
    expect(status).to.equal(201)
    const { id, token } = body
    known.push({ id, token, worker, name, perhaps: null, revoked: 'no', accepted: [], unanswered: 0 })
  }

  async function update(one: Known): Promise<void> {
    const name = `renamed ${choose(1_000_000)}`
    one.perhaps = name
    const { status } = await api.patch(one.id, { name })
    expect(status).to.equal(200)
    one.name = name
    one.perhaps = null
  }

  async function revoke(one: Known): Promise<void> {
    one.revoked = 'asked'
    const { status } = await api.revoke(one.id)
    expect(status).to.equal(204)
    one.revoked = 'yes'
  }

  async function use(one: Known): Promise<void> {
    const wasRevoked = one.revoked === 'yes'
    one.unanswered++
    const status = await api.use(one.token)
    // If the token was revoked while strict mode stored the use, the request is refused, but its use is counted.
    if (status === 200 || wasRevoked) one.unanswered--
    if (status === 200) one.accepted.push(Date.now())
    else expect(status === 401 && one.revoked !== 'no', `a use answered ${status}`).to.equal(true)
  }

  async function work(worker: number): Promise<void> {
    while (running) {
      const mine = alive().filter((one) => one.worker === worker)
      const one = mine[choose(mine.length)]
      const anyone = alive()[choose(alive().length)]
      const kind = choose(10)
      try {
        if (!one || !anyone || kind === 0) await create(worker)
        else if (kind === 1) await update(one)
        else if (kind === 2 && mine.length > 2) await revoke(one)
        else await use(anyone)
      } catch (error) {
        // The connection was lost with the process. Any other error is a fault.
        if (!(error instanceof TypeError)) throw error
        return
      }
    }
  }

  const workers = Array.from({ length: WORKERS }, (_, worker) => work(worker))
  const finished = Promise.all(workers)
  const least = known.length + LEAST_MADE
  const loaded = async (): Promise<void> => {
    await sleep(ms)
    while (running && known.length < least) await sleep(20)
  }
  await Promise.race([loaded(), finished])
  const killedAt = Date.now()
  await service.kill()
  running = false
  await finished
  return killedAt
}

/**
 * Everything that was acknowledged is there. A request without an answer may have succeeded or not, and what is shown
 * first stays.
 */
async function check(api: Api, known: readonly Known[]): Promise<void> {
  for (const one of known) {
    const { status, body } = await api.read(one.id)
    expect(status).to.equal(200)
    expect([one.name, one.perhaps], `the name of ${one.id}`).to.include(body.name)
    one.name = body.name
    one.perhaps = null
    if (one.revoked === 'yes') expect(body.status, `${one.id} was revoked`).to.equal('revoked')
    if (one.revoked === 'no') expect(body.status, `${one.id} is live`).to.equal('active')
    one.revoked = body.status === 'revoked' ? 'yes' : 'no'
    one.unanswered++
    const used = await api.use(one.token)
    one.unanswered--
    expect(used).to.equal(one.revoked === 'yes' ? 401 : 200)
    if (used === 200) one.accepted.push(Date.now())
  }
}

/**
 * No more uses are counted than were made. Fewer are counted only by as many as the last flush window before each kill
 * may have held.
 */
async function checkUses(api: Api, known: readonly Known[], lostAtMost: number): Promise<void> {
  const accepted = known.reduce((sum, one) => sum + one.accepted.length, 0)
  // Uses of the current process are stored by its next flush.
  await sleep(STORED_AFTER_MS)
  let missing = 0
  for (const one of known) {
    const { requests } = (await api.usage(one.id)).body.total
    expect(requests, `uses of ${one.id}`).to.be.at.most(one.accepted.length + one.unanswered)
    missing += Math.max(0, one.accepted.length - requests)
  }
  expect(missing, 'uses missing').to.be.at.most(lostAtMost)
  expect(accepted, 'the load reaches beyond the windows').to.be.above(lostAtMost)
}
