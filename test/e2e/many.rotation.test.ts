import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Api, type CreatedToken, untilServed } from '../support/callers/api.ts'
import { hammer, statusOf } from '../support/callers/hammer.ts'
import { type Fleet, type Member, startFleet } from '../support/processes/fleet.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'
import { eventually } from '../support/suite/eventually.ts'
import { sweep } from '../support/suite/sweep.ts'

/** In milliseconds. Whatever fails, no process accepts a secret longer than this after the answer that ended it. */
const BOUND_MS = 2000

const pathOf = (id: string): string => `/settings/api-tokens/${id}/rotations`

async function rotate(api: Api, id: string, input: object = {}): Promise<string> {
  const init = { body: JSON.stringify(input), headers: { 'content-type': 'application/json' } }
  const { status, body } = await untilServed(() => api.call<CreatedToken>('POST', pathOf(id), init))
  if (status !== 201) throw new Error(`rotated with ${status}`)
  return body.token
}

async function end(api: Api, id: string, state: 'pending' | 'grace'): Promise<void> {
  const { status } = await untilServed(() => api.call('DELETE', `${pathOf(id)}?status=${state}`))
  expect(status).to.equal(204)
}

interface Dying {
  secret: string
  /** What is to stay good. */
  kept: string
  /** Ends the secret. It resolves with the answer. */
  kill(): Promise<unknown>
}

type Way = (api: Api, token: CreatedToken) => Promise<Dying>

/** The ways in which a secret dies that is in use. The clock is judged by each process for itself. */
const WAYS: Record<string, Way> = {
  'ended in its grace': async (api, { id, token }) => {
    const kept = await rotate(api, id, { activate: 'now', grace_seconds: 600 })
    return { secret: token, kept, kill: () => end(api, id, 'grace') }
  },
  'replaced at once': async (api, { id, token }) => ({
    secret: token,
    kept: token,
    kill: () => rotate(api, id, { activate: 'now', grace_seconds: 0 }),
  }),
  revoked: async (api, { id, token }) => {
    await rotate(api, id, { activate: 'now', grace_seconds: 600 })
    return { secret: token, kept: token, kill: () => untilServed(() => api.revoke(id)) }
  },
}

async function dyingOn(members: readonly Member[], way: Way): Promise<Dying> {
  const [first] = members as [Member]
  const { status, body } = await untilServed(() => first.api.create({ name: 'rotated' }))
  if (status !== 201) throw new Error(`created with ${status}`)
  const dying = await way(first.api, body)
  await usedOn(members, dying.secret)
  return dying
}

/** From then on each of them has the secret in memory. */
async function usedOn(members: readonly Member[], secret: string): Promise<void> {
  for (const { api } of members)
    for (let i = 0; i < 2; i++) await eventually(async () => expect(await api.use(secret)).to.equal(200))
}

/** From now on no announcement of a change passes, while everything else does. */
async function deafen({ toModel }: Member): Promise<void> {
  toModel.silence('$changeStream', 'getMore')
  // The request that is under way still gets its answer.
  await sleep(400)
}

const times = sweep('deaths', 30, 4)

describeWithMongod('a secret that dies on one of two processes', function () {
  this.timeout(600_000)
  let fleet: Fleet
  before(async () => {
    fleet = await startFleet(2)
  })
  after(() => fleet.close())

  for (const [way, how] of Object.entries(WAYS)) {
    it(`is refused there from the answer on, and elsewhere soon, once ${way}${times.note}`, async () => {
      for (let n = 0; n < times.amount; n++) {
        const members = fleet.members.map((_, i) => fleet.members[(i + n) % 2] as Member)
        const { secret, kill } = await dyingOn(members, how)
        const hammers = members.map(({ api }) => hammer(api.url, secret))
        const refused = hammers.map((one) => one.until(401))
        await kill()
        const answered = performance.now()
        await Promise.all(refused)
        await sleep(20)
        await Promise.all(hammers.map((one) => one.stop()))
        const [own = 0, other = 0] = hammers.map((one) => one.lastAccepted() - answered)
        expect(own).to.be.at.most(0)
        expect(other).to.be.below(BOUND_MS)
      }
    })
  }

  it('is refused by a process that hears of nothing any more', async () => {
    const [, deaf] = fleet.members as [Member, Member]
    const { secret, kept, kill } = await dyingOn(fleet.members, WAYS['ended in its grace'] as Way)
    // What a process writes down about a token, it knows without hearing of it.
    await usedOn(fleet.members, kept)
    await usedOn(fleet.members, secret)
    await deafen(deaf)
    try {
      const [dead, good] = [hammer(deaf.api.url, secret), hammer(deaf.api.url, kept)]
      await kill()
      const at = performance.now()
      await sleep(BOUND_MS + 1000)
      await Promise.all([dead.stop(), good.stop()])
      expect(dead.lastAccepted() - at).to.be.below(BOUND_MS)
      expect([...good.statuses.keys()], 'a good secret is looked up').to.deep.equal([200])
    } finally {
      deaf.toModel.set('open')
    }
  })

  it('is refused by a process that was stopped meanwhile, from its first answer on', async () => {
    const [, other] = fleet.members as [Member, Member]
    for (const pause of [BOUND_MS + 500, BOUND_MS + 2500]) {
      const { secret, kill } = await dyingOn(fleet.members, WAYS['replaced at once'] as Way)
      other.service.signal('SIGSTOP')
      try {
        await kill()
        await sleep(BOUND_MS)
        const waiting = Array.from({ length: 20 }, () => statusOf(other.api.url, secret))
        await sleep(pause - BOUND_MS)
        other.service.signal('SIGCONT')
        // On a busy machine the process may not have heard from its stores yet, and then it accepts nothing.
        for (const status of await Promise.all(waiting)) expect(status).to.be.oneOf([401, 503])
        await eventually(async () => expect(await other.api.use(secret)).to.equal(401))
      } finally {
        other.service.signal('SIGCONT')
      }
    }
  })

  it('was used for the first time on both at once: one of them writes that down', async () => {
    for (let n = 0; n < times.amount; n++) {
      const [one] = fleet.members as [Member, Member]
      const { body } = await untilServed(() => one.api.create({ name: 'rotated' }))
      const secret = await rotate(one.api, body.id, { grace_seconds: 600 })
      const useOnBoth = () =>
        Promise.all(fleet.members.flatMap(({ api }) => [api.use(secret), api.use(secret)]))
      await eventually(async () => {
        expect(await useOnBoth()).to.deep.equal([200, 200, 200, 200])
        const { body: history } = await one.api.events(body.id)
        expect(history.data.map(({ type }) => type)).to.include('TokenSecretActivated')
      })
      await useOnBoth()
      const { body: history } = await one.api.events(body.id)
      const activations = history.data.filter(({ type }) => type === 'TokenSecretActivated')
      expect(activations.map(({ revision }) => revision)).to.deep.equal([2])
    }
  })
})
